use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::curve::{agent, bench, is_frame, receiver_of};
use crate::harness::program::PEERS_PYTHON;
use crate::harness::{Bench, peer};

#[test]
fn a_secret_that_others_can_read_is_not_used() {
    let bench = bench();
    let receiver = receiver_of(&bench, "pair");
    let link = format!("pattern = \"pair\", connect = \"{}\", {}", receiver.link, bench.client("pi", "hub"));
    let secret = bench.key("pi", "key_secret");
    fs::set_permissions(&secret, Permissions::from_mode(0o640)).expect("a file of ours");
    let agent = agent(&bench, &link);
    let said = agent.logs("the secret key in ", "");
    assert!(
        said.ends_with(&format!(" is readable by other users (mode 0640); run `chmod 600 {}`", secret.display())),
        "{said}"
    );
    check_says(&bench, "agent.toml", 1, &[&format!("  error: the secret key in {said}")]);
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("a file of ours");
    receiver.program.says_json("a frame", is_frame);
}

/// What `watchpost check` says of a bench's file, and how it ends.
#[track_caller]
fn check_says(bench: &Bench, config: &str, code: i32, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    let check = command.args(["check", "--config"]).arg(bench.path(config)).output().expect("it starts");
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(code), "{check:?}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?}\n{said}");
    assert_eq!(said.contains("  error: "), code == 1, "{said}");
    assert_eq!(String::from_utf8_lossy(&check.stderr).contains("error"), code == 1, "{check:?}");
}

/// Writes a receiver's file with a bound link that has these keys.
fn write_receiver(bench: &Bench, keys: &str) {
    let link = format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n{keys}\n");
    fs::write(bench.path("receiver.toml"), link).expect("a temporary file");
}

#[test]
fn check_has_a_line_for_each_thing_that_keeps_a_link_from_working() {
    let bench = Bench::new();
    write_receiver(&bench, &bench.server("hub"));
    check_says(&bench, "receiver.toml", 0, &["permits the 0 keys in ", "so no peer can connect yet"]);
    bench.allow("pi");
    check_says(&bench, "receiver.toml", 0, &["permits the 1 key in ", "allowed; not connected here"]);
    fs::remove_dir_all(bench.path("allowed")).expect("a directory of ours");
    fs::remove_file(bench.key("hub", "key_secret")).expect("a file of ours");
    let secret = "\n  error: cannot read the key in ";
    check_says(&bench, "receiver.toml", 1, &[secret, "\n  error: cannot read the allowed keys in ", "\n  page "]);
}

#[test]
fn check_warns_where_the_keys_of_this_machine_are_those_that_may_come() {
    let bench = Bench::new();
    write_receiver(&bench, &bench.server("hub").replace("allowed\"", "keys\""));
    check_says(
        &bench,
        "receiver.toml",
        0,
        &["  warning: `allowed_keys_dir` ", "keys is where this end's own secret is"],
    );
}

#[test]
fn a_public_file_in_a_secrets_place_is_named_whatever_its_mode() {
    let bench = bench();
    write_receiver(&bench, &bench.server("hub").replace("hub.key_secret", "hub.key"));
    let (public, secret) = (bench.key("hub", "key"), bench.key("hub", "key_secret"));
    let said = format!("hub.key has no secret key: this is the public half; write {}\n", secret.display());
    for mode in [0o644, 0o600] {
        fs::set_permissions(&public, Permissions::from_mode(mode)).expect("a file of ours");
        check_says(&bench, "receiver.toml", 1, &[&said]);
    }
}

#[test]
fn an_end_that_would_go_to_itself_says_so() {
    let bench = bench();
    let own = bench.client("hub", "hub");
    let agent = agent(&bench, &format!("pattern = \"pair\", connect = \"tcp://127.0.0.1:1\", {own}"));
    agent.logs("this is this end's own key", "");
    check_says(
        &bench,
        "agent.toml",
        1,
        &["  error: `server_key` ", "this is this end's own key; write the key of the end that binds"],
    );
}

/// The command as a user who owns the files of this one and whom their modes bind, as they do not bind root.
fn as_user(arguments: &[&str]) -> std::process::Output {
    let mut command = if nix::unistd::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_watchpost")]);
        command
    } else {
        Command::new(env!("CARGO_BIN_EXE_watchpost"))
    };
    command.args(arguments).output().expect("it starts")
}

#[test]
fn who_may_not_read_a_secret_is_told_what_gives_it_to_him() {
    let bench = bench();
    let secret = bench.key("hub", "key_secret");
    write_receiver(&bench, &bench.server("hub"));
    let config = bench.path("receiver.toml").display().to_string();
    for closed in [secret.as_path(), secret.parent().expect("a directory")] {
        let before = fs::metadata(closed).expect("a file of ours").permissions();
        fs::set_permissions(closed, Permissions::from_mode(0o000)).expect("a file of ours");
        let check = as_user(&["check", "--config", &config]);
        fs::set_permissions(closed, before).expect("a file of ours");
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        assert_eq!(check.status.code(), Some(1), "{check:?}");
        let start = format!(" may not read the secret key in {}; run `sudo chown ", secret.display());
        let user = said.split_once("  error: ").and_then(|(_, rest)| rest.split_once(&start)).expect(&said).0;
        assert!(said.contains(&format!("run `sudo chown {user} {}`", closed.display())), "{said}");
    }
}

#[test]
fn keygen_says_how_one_comes_by_a_directory_that_one_may_write() {
    let bench = Bench::new();
    fs::create_dir(bench.path("etc")).expect("a temporary directory");
    fs::set_permissions(bench.path("etc"), Permissions::from_mode(0o555)).expect("a directory of ours");
    for dir in ["etc", "etc/keys"].map(|dir| bench.path(dir).display().to_string()) {
        let keygen = as_user(&["keygen", "pi", "--dir", &dir]);
        let said = String::from_utf8_lossy(&keygen.stderr).into_owned();
        assert_eq!(keygen.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("`sudo install -d -o \"$USER\" {dir}`")), "{said}");
    }
    assert_eq!(fs::read_dir(bench.path("etc")).expect("a directory").count(), 0);
}

#[test]
fn a_receiver_without_its_secret_does_not_run() {
    let bench = bench();
    let config = bench.path("receiver.toml");
    write_receiver(&bench, &bench.server("hub"));
    fs::remove_file(bench.key("hub", "key_secret")).expect("a file of ours");
    let mut command = bench.watchpost("receive");
    let receiver = command.args(["--config"]).arg(config).output().expect("it starts");
    let said = String::from_utf8_lossy(&receiver.stderr).into_owned();
    assert_eq!(receiver.status.code(), Some(1), "{said}");
    assert!(
        said.contains("cannot read the key in ") && said.contains("hub.key_secret: No such file or directory; "),
        "{said}"
    );
    assert!(said.contains("`watchpost keygen` creates a key pair") && !said.contains("os error"), "{said}");
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let bench = bench();
    let link = format!("pattern = \"pair\", connect = \"tcp://127.0.0.1:1\", {}", bench.client("pi", "hub"));
    let public = bench.key("hub", "key");
    let whole = fs::read_to_string(&public).expect("a file");
    let cut = whole.trim_end().trim_end_matches('"');
    for (text, said) in [
        ("", "hub.key has no line `public-key = "),
        (&cut[..cut.len() - 1], "hub.key: the public-key is not the 40 characters of a key"),
        ("public-key = \"#####################################☃\"", "hub.key: the public-key is not the 40"),
    ] {
        fs::write(&public, text).expect("a file of ours");
        agent(&bench, &link).logs(said, "");
    }
    fs::remove_file(&public).expect("a file of ours");
    nix::unistd::mkfifo(&public, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    agent(&bench, &link).logs("hub.key is not a file with a key", "");
    fs::remove_file(&public).expect("a pipe of ours");
    agent(&bench, &link).logs(
        "cannot read the key in ",
        "hub.key: No such file or directory; copy the .key file of the other end there",
    );
    fs::remove_dir_all(bench.path("allowed")).expect("a directory of ours");
    let link = format!("pattern = \"pair\", bind = \"tcp://127.0.0.1:*\", {}", bench.server("hub"));
    fs::remove_dir(bench.path("allowed")).expect("a directory of ours");
    agent(&bench, &link)
        .logs("cannot read the allowed keys in ", "allowed: No such file or directory; create that directory");
}

#[test]
fn keygen_makes_a_pair_that_only_its_owner_can_read_and_never_another() {
    let bench = Bench::new();
    let keygen = || {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 0; exec \"$0\" keygen pi --dir \"$1\"", env!("CARGO_BIN_EXE_watchpost")]);
        command.arg(bench.path("keys")).output().expect("it starts")
    };
    let first = keygen();
    let said = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(first.status.success(), "{first:?}");
    let (secret, public) = (bench.key("pi", "key_secret"), bench.key("pi", "key"));
    assert_eq!(fs::metadata(&secret).expect("a file").permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&public).expect("a file");
    assert!(!text.contains("secret-key"), "{text}");
    let key = text.split('"').nth(1).expect("a key");
    for words in [&format!("{}", secret.display()), &format!("{}", public.display()), &format!("\"{key}\"")] {
        assert!(said.contains(&**words), "{said}");
    }
    let before = fs::read(&secret).expect("a file");
    // Both are there, and then only one of them.
    for _ in 0..2 {
        let again = keygen();
        assert_eq!(again.status.code(), Some(1), "{again:?}");
        assert!(String::from_utf8_lossy(&again.stderr).contains("already exists and was not overwritten"), "{again:?}");
        assert_eq!(fs::read(&secret).expect("a file"), before);
        let _ = fs::remove_file(&public);
    }
    assert!(!public.exists(), "half a pair");
    assert_eq!(bench.keygen("a/b").status.code(), Some(1));
}

#[test]
fn pyzmqs_own_certificates_and_ours_are_the_same_to_both() {
    let bench = bench();
    fs::create_dir_all(bench.path("python")).expect("a temporary directory");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/curve_receiver.py");
    let made = Command::new(PEERS_PYTHON).arg(program).arg(bench.path("python")).status().expect("it starts");
    assert!(made.success());
    let path = |name: &str| bench.path(name).display().to_string();
    // Pyzmq's receiver with our files, the agent with pyzmq's, and then all the other way round.
    fs::copy(bench.path("python/agent.key"), bench.path("allowed/agent.key")).expect("a key");
    for (secret, server, client) in [
        (path("keys/hub.key_secret"), bench.key("hub", "key").display().to_string(), path("python/agent.key_secret")),
        (path("python/python.key_secret"), path("python/python.key"), path("keys/pi.key_secret")),
    ] {
        fs::set_permissions(&client, Permissions::from_mode(0o600)).expect("a file of ours");
        let receiver = peer("curve_receiver.py", &[&secret, &path("allowed")]);
        let address = receiver.says("its address", |line| line.starts_with("tcp://").then(|| line.to_owned()));
        let keys = format!("curve = {{ secret_key_file = \"{client}\", server_key = \"{server}\" }}");
        let _agent = agent(&bench, &format!("pattern = \"pair\", connect = \"{address}\", {keys}"));
        receiver.says("a frame", |line| line.parse::<usize>().ok().filter(|size| *size > 1000));
    }
}
