use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::curve::{agent, bench, is_frame, receiver_of};
use crate::harness::installed::peers_python;
use crate::harness::{Bench, peer};

#[test]
fn secret_readable_by_others_is_not_used() {
    let bench = bench();
    let receiver = receiver_of(&bench, "pair");
    let link = format!("pattern = \"pair\", connect = \"{}\", {}", receiver.link, bench.client("pi", "hub"));
    let secret = bench.key("pi", "key_secret");
    fs::set_permissions(&secret, Permissions::from_mode(0o640)).expect("a test file");
    let agent = agent(&bench, &link);
    let text = agent.wait_for_log("the secret key in ", "");
    assert!(
        text.ends_with(&format!(" is readable by other users (mode 0640); run `chmod 600 {}`", secret.display())),
        "{text}"
    );
    assert_check(&bench, "agent.toml", 1, &[&format!("  error: the secret key in {text}")]);
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("a test file");
    receiver.program.wait_for_json("a frame", is_frame);
}

/// Runs `watchpost check` on a file of the bench; asserts its exit code and parts of its output.
#[track_caller]
fn assert_check(bench: &Bench, config: &str, code: i32, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    let check = command.args(["check", "--config"]).arg(bench.path(config)).output().expect("watchpost starts");
    let stdout = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(code), "{check:?}");
    assert!(words.iter().all(|word| stdout.contains(word)), "{words:?}\n{stdout}");
    assert_eq!(stdout.contains("  error: "), code == 1, "{stdout}");
    assert_eq!(String::from_utf8_lossy(&check.stderr).contains("error"), code == 1, "{check:?}");
}

/// Writes a receiver's configuration: one bound link with this curve table.
fn write_receiver(bench: &Bench, keys: &str) {
    let link = format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n{keys}\n");
    fs::write(bench.path("receiver.toml"), link).expect("a temporary file");
}

#[test]
fn check_lists_every_problem_with_a_links_keys() {
    let bench = Bench::new();
    write_receiver(&bench, &bench.server("hub"));
    assert_check(&bench, "receiver.toml", 0, &["permits the 0 keys in ", "so no peer can connect yet"]);
    bench.allow("pi");
    assert_check(&bench, "receiver.toml", 0, &["permits the 1 key in ", "allowed; not connected here"]);
    fs::remove_dir_all(bench.path("allowed")).expect("a test directory");
    fs::remove_file(bench.key("hub", "key_secret")).expect("a test file");
    let secret = "\n  error: cannot read the key in ";
    assert_check(&bench, "receiver.toml", 1, &[secret, "\n  error: cannot read the allowed keys in ", "\n  page "]);
}

#[test]
fn check_warns_if_the_key_has_not_the_agents_name() {
    let bench = Bench::new();
    let link = format!("pattern = \"dealer\", connect = \"tcp://127.0.0.1:1\", {}", bench.client("pi", "hub"));
    let text = |name: &str| {
        format!("name = \"{name}\"\ncamera = [{{ name = \"door\", source = \"pattern\" }}]\nlink = [{{ {link} }}]")
    };
    fs::write(bench.path("agent.toml"), text("shed")).expect("a temporary file");
    let warning = "  warning: a receiver permits only the agent pi for pi.key; rename that file to shed.key there";
    assert_check(&bench, "agent.toml", 0, &[warning, "`agents = { \"pi\" = [\"shed\"] }`"]);
    fs::write(bench.path("agent.toml"), text("pi")).expect("a temporary file");
    let check = bench.watchpost("check").arg("--config").arg(bench.path("agent.toml")).output().expect("it starts");
    assert!(!String::from_utf8_lossy(&check.stdout).contains("warning"), "{check:?}");
}

#[test]
fn check_warns_if_own_keys_are_the_allowed_keys() {
    let bench = Bench::new();
    write_receiver(&bench, &bench.server("hub").replace("allowed\"", "keys\""));
    assert_check(
        &bench,
        "receiver.toml",
        0,
        &["  warning: `allowed_keys_dir` ", "keys also contains this end's own secret key"],
    );
}

#[test]
fn public_key_file_given_as_secret_is_reported() {
    let bench = bench();
    write_receiver(&bench, &bench.server("hub").replace("hub.key_secret", "hub.key"));
    let (public, secret) = (bench.key("hub", "key"), bench.key("hub", "key_secret"));
    let problem = format!("hub.key has no secret key: this is the public half; write {}\n", secret.display());
    for mode in [0o644, 0o600] {
        fs::set_permissions(&public, Permissions::from_mode(mode)).expect("a test file");
        assert_check(&bench, "receiver.toml", 1, &[&problem]);
    }
}

#[test]
fn own_key_as_server_key_is_reported() {
    let bench = bench();
    let own = bench.client("hub", "hub");
    let agent = agent(&bench, &format!("pattern = \"pair\", connect = \"tcp://127.0.0.1:1\", {own}"));
    agent.wait_for_log("this is this end's own key", "");
    assert_check(
        &bench,
        "agent.toml",
        1,
        &["  error: `server_key` ", "this is this end's own key; write the key of the end that binds"],
    );
}

/// Runs watchpost without root's right to ignore file modes. The files still belong to its user.
fn run_unprivileged(arguments: &[&str]) -> std::process::Output {
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_watchpost")]);
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_watchpost"))
    };
    command.args(arguments).output().expect("watchpost starts")
}

#[test]
fn unreadable_secret_error_names_the_remedy() {
    let bench = bench();
    let secret = bench.key("hub", "key_secret");
    write_receiver(&bench, &bench.server("hub"));
    let config = bench.path("receiver.toml").display().to_string();
    for closed in [secret.as_path(), secret.parent().expect("a directory")] {
        let before = fs::metadata(closed).expect("a test file").permissions();
        fs::set_permissions(closed, Permissions::from_mode(0o000)).expect("a test file");
        let check = run_unprivileged(&["check", "--config", &config]);
        fs::set_permissions(closed, before).expect("a test file");
        let stdout = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(check.status.code(), Some(1), "{check:?}");
        let start = format!(" may not read the secret key in {}; run `sudo chown ", secret.display());
        let user = stdout.split_once("  error: ").and_then(|(_, rest)| rest.split_once(&start)).expect(&stdout).0;
        assert!(stdout.contains(&format!("run `sudo chown {user} {}`", closed.display())), "{stdout}");
    }
}

#[test]
fn keygen_explains_how_to_get_a_writable_directory() {
    let bench = Bench::new();
    fs::create_dir(bench.path("etc")).expect("a temporary directory");
    fs::set_permissions(bench.path("etc"), Permissions::from_mode(0o555)).expect("a test directory");
    for dir in ["etc", "etc/keys"].map(|dir| bench.path(dir).display().to_string()) {
        let keygen = run_unprivileged(&["keygen", "pi", "--dir", &dir]);
        let stderr = String::from_utf8_lossy(&keygen.stderr).into_owned();
        assert_eq!(keygen.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&format!("`sudo install -d -o \"$USER\" {dir}`")), "{stderr}");
    }
    assert_eq!(fs::read_dir(bench.path("etc")).expect("a directory").count(), 0);
}

#[test]
fn receiver_without_its_secret_does_not_start() {
    let bench = bench();
    let config = bench.path("receiver.toml");
    write_receiver(&bench, &bench.server("hub"));
    fs::remove_file(bench.key("hub", "key_secret")).expect("a test file");
    let mut command = bench.watchpost("receive");
    let receiver = command.args(["--config"]).arg(config).output().expect("it starts");
    let text = String::from_utf8_lossy(&receiver.stderr).into_owned();
    assert_eq!(receiver.status.code(), Some(1), "{text}");
    assert!(
        text.contains("cannot read the key in ") && text.contains("hub.key_secret: No such file or directory; "),
        "{text}"
    );
    assert!(text.contains("`watchpost keygen` creates a key pair") && !text.contains("os error"), "{text}");
}

#[test]
fn invalid_key_files_are_reported_by_name() {
    let bench = bench();
    let link = format!("pattern = \"pair\", connect = \"tcp://127.0.0.1:1\", {}", bench.client("pi", "hub"));
    let public = bench.key("hub", "key");
    let whole = fs::read_to_string(&public).expect("a file");
    let cut = whole.trim_end().trim_end_matches('"');
    for (text, problem) in [
        ("", "hub.key has no line `public-key = "),
        (&cut[..cut.len() - 1], "hub.key: the public-key is not the 40 characters of a key"),
        ("public-key = \"#####################################☃\"", "hub.key: the public-key is not the 40"),
    ] {
        fs::write(&public, text).expect("a test file");
        agent(&bench, &link).wait_for_log(problem, "");
    }
    fs::remove_file(&public).expect("a test file");
    nix::unistd::mkfifo(&public, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    agent(&bench, &link).wait_for_log("hub.key is not a file with a key", "");
    fs::remove_file(&public).expect("a test pipe");
    agent(&bench, &link).wait_for_log(
        "cannot read the key in ",
        "hub.key: No such file or directory; copy the .key file of the other end there",
    );
    fs::remove_dir_all(bench.path("allowed")).expect("a test directory");
    let link = format!("pattern = \"pair\", bind = \"tcp://127.0.0.1:*\", {}", bench.server("hub"));
    fs::remove_dir(bench.path("allowed")).expect("a test directory");
    agent(&bench, &link)
        .wait_for_log("cannot read the allowed keys in ", "allowed: No such file or directory; create that directory");
}

#[test]
fn keygen_pair_is_private_and_never_overwritten() {
    let bench = Bench::new();
    let keygen = || {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0; exec \"$0\" keygen pi --dir \"$1\"", env!("CARGO_BIN_EXE_watchpost")]);
        command.arg(bench.path("keys")).output().expect("watchpost starts")
    };
    let first = keygen();
    let stdout = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(first.status.success(), "{first:?}");
    let (secret, public) = (bench.key("pi", "key_secret"), bench.key("pi", "key"));
    assert_eq!(fs::metadata(&secret).expect("a file").permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&public).expect("a file");
    assert!(!text.contains("secret-key"), "{text}");
    let key = text.split('"').nth(1).expect("a key");
    for words in [&format!("{}", secret.display()), &format!("{}", public.display()), &format!("\"{key}\"")] {
        assert!(stdout.contains(&**words), "{stdout}");
    }
    let before = fs::read(&secret).expect("a file");
    // First with both files in place, then with one of them.
    for _ in 0..2 {
        let again = keygen();
        assert_eq!(again.status.code(), Some(1), "{again:?}");
        assert!(String::from_utf8_lossy(&again.stderr).contains("already exists and was not overwritten"), "{again:?}");
        assert_eq!(fs::read(&secret).expect("a file"), before);
        let _ = fs::remove_file(&public);
    }
    assert!(!public.exists(), "keygen replaced one half of a pair");
    assert_eq!(bench.keygen("a/b").status.code(), Some(1));
}

#[test]
fn pyzmq_and_watchpost_accept_each_others_key_files() {
    let bench = bench();
    fs::create_dir_all(bench.path("python")).expect("a temporary directory");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/curve_receiver.py");
    let status = peers_python().arg(program).arg(bench.path("python")).status().expect("it starts");
    assert!(status.success());
    let path = |name: &str| bench.path(name).display().to_string();
    // First the receiver uses watchpost's files and the agent pyzmq's, then the other way round.
    fs::copy(bench.path("python/agent.key"), bench.path("allowed/agent.key")).expect("a key");
    for (secret, server, client) in [
        (path("keys/hub.key_secret"), bench.key("hub", "key").display().to_string(), path("python/agent.key_secret")),
        (path("python/python.key_secret"), path("python/python.key"), path("keys/pi.key_secret")),
    ] {
        fs::set_permissions(&client, Permissions::from_mode(0o600)).expect("a test file");
        let receiver = peer("curve_receiver.py", &[&secret, &path("allowed")]);
        let address = receiver.wait_for_line("its address", |line| line.starts_with("tcp://").then(|| line.to_owned()));
        let keys = format!("curve = {{ secret_key_file = \"{client}\", server_key = \"{server}\" }}");
        let _agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{address}\", {keys}"));
        receiver.wait_for_line("a frame", |line| line.parse::<usize>().ok().filter(|size| *size > 1000));
    }
}
