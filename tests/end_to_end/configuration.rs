use std::path::Path;
use std::process::{Command, Output};

use watchpost::config;

use crate::harness::http::get;
use crate::harness::{Bench, eventually};

fn watchpost(command: &str, config: &Path) -> Output {
    let mut watchpost = Command::new(env!("CARGO_BIN_EXE_watchpost"));
    watchpost.args([command, "--config"]).arg(config).output().expect("watchpost starts")
}

/// An invalid agent configuration, the line of its error, and what the message must contain.
const INVALID: [(&str, u32, &[&str]); 43] = [
    ("camera = []\nnmae = \"x\"", 2, &["unknown key `nmae`", "did you mean `name`?"]),
    (
        "[[camera]]\nname = \"door\"\nsource = \"pattern\"\n[[camera]]\nsource = \"pattern\"\nname = \"door\"\n\
         [[link]]\npattern = \"pair\"\nconnect = \"ipc://x\"",
        6,
        &["two cameras are named \"door\"", "another `name`"],
    ),
    (
        "[[link]]\npattern = \"pair\"\nconnect = \"127.0.0.1:5559\"",
        3,
        &["not an address", "\"tcp://192.168.1.10:5559\""],
    ),
    ("[[link]]\npattern = \"pair\"\nconnect = \"tcp://10.0.0.1:70000\"", 3, &["port", "1 to 65535"]),
    (
        "[[link]]\npattern = \"pair\"\nconnect = \"tcp://10.0.0.1:5559\"",
        3,
        &["not on this machine", "`plaintext = true`"],
    ),
    (
        "[[link]]\npattern = \"pub\"\nbind = \"tcp://*:5559\"",
        3,
        &["not on this machine", "`watchpost keygen`", "`plaintext = true`"],
    ),
    ("[[link]]\npattern = \"pair\"\nformat = \"base46\"", 3, &["unknown value `base46`; did you mean `base64`?"]),
    ("[[link]]\npattern = \"pub\"\nbind = \"tcp://localhost:5559\"", 3, &["write 127.0.0.1"]),
    (
        "[[link]]\npattern = \"pair\"\nbind = \"tcp://*:1\"\n[link.curve]\nsecret_key_file = \"/k\"",
        4,
        &["keys of permitted peers", "`allowed_keys_dir = "],
    ),
    (
        "[[link]]\npattern = \"pair\"\nbind = \"tcp://*:1\"\n[link.curve]\nsecret_key_file = \"/k\"\nserver_key = \"/x.key\"",
        6,
        &["this link binds, so it has no `server_key`", "`allowed_keys_dir = "],
    ),
    (
        "[[link]]\npattern = \"pub\"\nconnect = \"tcp://10.0.0.1:1\"\n[link.curve]\nsecret_key_file = \"/k\"\n\
         allowed_keys_dir = \"/d\"",
        6,
        &["permits no peers", "`server_key = "],
    ),
    (
        "[[link]]\npattern = \"pub\"\nconnect = \"tcp://10.0.0.1:1\"\n[link.curve]\nsecret_key_file = \"/k\"",
        4,
        &["the other end's key", "`server_key = "],
    ),
    (
        "[[link]]\npattern = \"pub\"\nconnect = \"tcp://10.0.0.1:1\"\n[link.curve]\nsecret_key_file = \"/k\"\n\
         server_key = \"/etc/key\"",
        6,
        &["not a key", "40 characters"],
    ),
    (
        "[[link]]\npattern = \"pub\"\nconnect = \"tcp://10.0.0.1:1\"\n[link.curve]\nsecret_key_file = \"/k\"\n\
         server_key = \"/etc/hub.key_secret\"",
        6,
        &["a secret file", "belongs on the other machine only", "\"/etc/hub.key\""],
    ),
    (
        "[[link]]\npattern = \"pub\"\nconnect = \"tcp://10.0.0.1:1\"\n\
         curve = { secret_key_file = \"k\", server_key = \"/x.key\" }",
        4,
        &["not a whole path"],
    ),
    (
        "[[link]]\npattern = \"pub\"\nconnect = \"tcp://10.0.0.1:1\"\nplaintext = true\n\
         [link.curve]\nsecret_key_file = \"/k\"\nserver_key = \"/x.key\"",
        4,
        &["is encrypted", "remove one"],
    ),
    ("[[link]]\npattern = \"pub\"\nbind = \"tcp://*:1\"\ncurve = true", 4, &["[link.curve]"]),
    (
        "[[link]]\npattern = \"pub\"\nbind = \"tcp://*:1\"\ncurve = { server_keys = \"\" }",
        4,
        &["did you mean `server_key`?"],
    ),
    ("[[serial]]\nport = \"ttyUSB0\"", 2, &["whole path", "\"/dev/ttyUSB0\""]),
    ("[[serial]]\nport = \"/x\"\nbaud = 7", 3, &["not a baud rate", "115200"]),
    ("[[serial]]\nport = \"/x\"\nfields = [\"a\", \"\"]", 3, &["\"\" cannot be a quantity"]),
    ("[[serial]]\nport = \"/x\"\nfields = [\"t\", \"temperature\"]", 3, &["\"temperature\" is already in the list"]),
    ("[[serial]]\nport = \"/x\"\nstale_after = \"10\"", 3, &["not a duration", "\"10s\""]),
    ("[quantity.temp]\nmax = 85", 1, &["\"temp\" is a label of temperature", "[quantity.temperature]"]),
    ("[quantity.soil]\nlabel = \"a-0\"", 2, &["a letter, no dash"]),
    ("[quantity.soil]\nlabel = \"a0\"\n[quantity.sun]\nlabel = \"A0\"", 4, &["\"A0\" is already used for soil"]),
    ("[quantity.soil]\nunit = \"%\"\nscale = 0", 3, &["cannot be 0", "0.1"]),
    ("[quantity.soil]\nmin = 100\nmax = 0", 2, &["at least 100 and at most 0", "the smaller one as min"]),
    ("[quantity.humidity]\nmax = -5", 2, &["at least 0 and at most -5"]),
    ("[quantity.temperature]\nunit = \"°F\"", 2, &["`unit` does not convert", "scale = 1.8, offset = 32"]),
    ("[quantity.soil]\nmim = 1", 2, &["unknown key `mim`", "did you mean `min`?"]),
    ("[[camera]]\nname = \"a\"\nsource = \"pattern\"\nfps = 1e-20", 4, &["not a frame rate", "0.01 to 240"]),
    (
        "[[camera]]\nname = \"a\"\nsource = \"/dev/video0\"\n[[camera]]\nname = \"b\"\nsource = \"/dev/video0\"",
        6,
        &["/dev/video0 is already used by another camera"],
    ),
    ("[[camera]]\nname = \"a\"\nsource = \"patern\"", 3, &["did you mean \"pattern\"?"]),
    (
        "[[camera]]\nname = \"a\"\nsource = \"videotestsrc ! videoconvert\"",
        3,
        &["without a sink", "end it with \" ! appsink\""],
    ),
    ("[link]\npattern = \"pair\"", 1, &["[link] is a table; write [[link]], because there can be several"]),
    ("[[camera]]\nname = \"a\"\nsource = \"pattern\"\nfps = \"25\"", 4, &["without quotes"]),
    ("[[link]]\npattern = \"pair\"\nconnect = \"tcp://*:5559\"", 3, &["`*` works only with `bind`"]),
    ("[[camera]]\nname = \"a/b\"\nsource = \"pattern\"", 2, &["\"a/b\" cannot be a name", "letters"]),
    ("[[camera]]\nname = \"a\"\nsource = \"pattern\"\nrotate = 45", 4, &["by 45", "90, 180 or 270"]),
    ("[[camera]]\nname = \"a\"\nsource = \"pattern\"\nflip = \"both\"", 4, &["`both`", "`horizontal`"]),
    ("[[camera]]\nname = \"a\"\nsource = \"pattern\"\ncrop = \"8x8+0+0\"", 4, &["\"320x240+160+120\"", "at least 16"]),
    ("[[camera]]\nname = \"a\"\nsource = \"pattern\"\nsize = \"big\"", 4, &["\"big\" is not a size", "\"640x480\""]),
];

#[test]
fn invalid_file_is_rejected_with_line_and_advice() {
    let bench = Bench::new();
    for (text, line, words) in INVALID {
        let config = bench.path("agent.toml");
        std::fs::write(&config, format!("{text}\n")).expect("a temporary file");
        let run = watchpost("run", &config);
        let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(1), "{text}\n{stderr}");
        assert!(stderr.contains(&format!("agent.toml, line {line}: ")), "{text}\n{stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{text}\n{stderr}");
    }
}

#[test]
fn check_reports_the_same_errors_as_run() {
    let bench = Bench::new();
    for (text, ..) in INVALID {
        let config = bench.path("agent.toml");
        // Without `name`, `check` takes a file that has only links for a receiver's.
        std::fs::write(&config, format!("name = \"a\"\n{text}")).expect("a temporary file");
        let (run, check) = (watchpost("run", &config), watchpost("check", &config));
        assert_eq!((run.status.code(), run.stderr), (check.status.code(), check.stderr));
    }
}

#[test]
fn file_with_links_only_is_judged_by_its_links() {
    let bench = Bench::new();
    for (file, link, program) in [
        ("a.toml", "pattern = \"dealer\"\nconnect = \"tcp://127.0.0.1:1\"", "agent"),
        ("a.toml", "pattern = \"pair\"\nconnect = \"tcp://127.0.0.1:1\"", "agent"),
        ("a.toml", "pattern = \"pair\"\nbind = \"tcp://127.0.0.1:1\"\ncameras = []", "agent"),
        ("a.toml", "pattern = \"pair\"\nbind = \"tcp://127.0.0.1:1\"", "receiver"),
        ("a.toml", "pattern = \"sub\"\nconnect = \"tcp://127.0.0.1:1\"", "receiver"),
        ("receiver.toml", "pattern = \"pair\"\nconnect = \"tcp://127.0.0.1:1\"", "receiver"),
    ] {
        std::fs::write(bench.path(file), format!("[[link]]\n{link}\n")).expect("a temporary file");
        let check = watchpost("check", &bench.path(file));
        match program {
            "agent" => assert!(String::from_utf8_lossy(&check.stderr).contains("nothing to do: "), "{link}: {check:?}"),
            _ => assert!(String::from_utf8_lossy(&check.stdout).starts_with("receiver\n"), "{link}: {check:?}"),
        }
    }
}

#[test]
fn check_reads_the_file_that_run_would_read() {
    let check = Command::new(env!("CARGO_BIN_EXE_watchpost")).arg("check").output().expect("it starts");
    assert_eq!(check, watchpost("check", Path::new("/etc/watchpost/watchpost.toml")));
}

#[test]
fn check_reports_unusable_paths() {
    let bench = Bench::new();
    let config = bench.path("places.toml");
    let link = "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n";
    let agent = format!("name = \"a\"\n[[serial]]\nport = \"/dev/ttyUSB0\"\n{link}");
    let not_a_dir = bench.path("file");
    std::fs::write(&not_a_dir, "no directory").expect("a temporary file");
    for (tables, file, key) in [
        (format!("{link}[record]\n"), "rec", "dir"),
        (format!("{link}[history]\n"), "rec/history.sqlite", "path"),
        (format!("{agent}[spool]\n"), "rec/spool.sqlite", "path"),
    ] {
        for (parent, expected, status) in
            [(&not_a_dir, "is not a directory", 1), (&bench.path("new"), "will be created", 0)]
        {
            let path = parent.join(file);
            std::fs::write(&config, format!("{tables}{key} = \"{}\"\n", path.display())).expect("a temporary file");
            let check = watchpost("check", &config);
            let text = String::from_utf8_lossy(&check.stdout);
            assert_eq!(check.status.code(), Some(status), "{text}");
            assert!(text.contains(expected) && text.contains(&*path.to_string_lossy()), "{text}");
        }
    }
}

#[test]
fn missing_or_empty_file_is_rejected() {
    let bench = Bench::new();
    let missing = watchpost("run", &bench.path("none.toml"));
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&missing.stderr).contains("none.toml: cannot be read: No such file or directory; ")
    );
    std::fs::write(bench.path("empty.toml"), "").expect("a temporary file");
    let empty = watchpost("run", &bench.path("empty.toml"));
    assert_eq!(empty.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("nothing to do"));
}

#[test]
fn shipped_config_files_are_valid_and_show_real_defaults() {
    let bench = Bench::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    config::agent(&dir.join("examples/two-boards-four-cameras.toml")).expect("the example");
    let agent = |path: &Path| format!("{:?}", config::agent(path).expect("the agent's file"));
    let (plain, set) = (dir.join("watchpost.toml"), bench.path("watchpost.toml"));
    std::fs::write(&set, with_defaults_set(&plain)).expect("a temporary file");
    // The default name is the host's, so the file cannot show it.
    assert_eq!(
        agent(&plain).split_once("serial:").map(|(_, rest)| rest.to_owned()),
        agent(&set).split_once("serial:").map(|(_, rest)| rest
            .replace("fields: [\"temperature\", \"humidity\"]", "fields: []")
            .replace("size: Some(Size { width: 640, height: 480 })", "size: None")
            .replace("flip: Some(Horizontal)", "flip: None")
            .replace("crop: Some(Crop { width: 320, height: 240, x: 160, y: 120 })", "crop: None"))
    );

    let receiver = |path: &Path| format!("{:?}", config::receiver(path).expect("the receiver's file"));
    let (plain, set) = (dir.join("receiver.toml"), bench.path("receiver.toml"));
    std::fs::write(&set, with_defaults_set(&plain)).expect("a temporary file");
    assert_eq!(receiver(&plain), receiver(&set));
    assert_eq!(receiver(&plain), format!("{:?}", config::Receiver::default()), "the defaults without a file");
}

/// The file's text with each `# key = value` line uncommented.
fn with_defaults_set(file: &Path) -> String {
    let text = std::fs::read_to_string(file).expect("a file of the repository");
    let is_key = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    text.lines()
        .map(|line| {
            match line.strip_prefix("# ").filter(|rest| rest.split_once(" = ").is_some_and(|(key, _)| is_key(key))) {
                // These keys are valid for another format only; the comparison without a file covers their defaults.
                Some(set) if set.starts_with("agent =") || set.starts_with("camera =") => String::new(),
                Some(set) => set.to_owned(),
                None => line.to_owned(),
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The standard output of `watchpost check` for a configuration.
fn checked(bench: &Bench, text: &str) -> String {
    let config = bench.path("checked.toml");
    std::fs::write(&config, text).expect("a temporary file");
    let check = watchpost("check", &config);
    assert!(check.status.success(), "{check:?}");
    String::from_utf8(check.stdout).expect("text")
}

/// The cells of the sizing table in docs/recording.md: the size, kB per frame, and GB per day at the rates of the heading.
fn sizing_rows() -> Vec<(String, Vec<f64>)> {
    let section = include_str!("../../docs/recording.md").split("## Sizing\n").nth(1).expect("the section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")).filter(|line| line.contains('x'));
    rows.filter_map(|line| {
        let cells: Vec<&str> = line.trim_end_matches('|').split('|').map(str::trim).collect();
        let numbers = cells[1..].iter().map(|cell| cell.parse().ok()).collect::<Option<Vec<f64>>>()?;
        Some((cells[0].to_owned(), numbers))
    })
    .collect()
}

#[test]
fn check_estimates_footage_as_the_document_does() {
    let bench = Bench::new();
    let rows = sizing_rows();
    assert!(rows.len() >= 4, "{rows:?}");
    for (size, numbers) in rows {
        for (fps, documented) in [1.0, 5.0, 10.0, 25.0].into_iter().zip(&numbers[1..]) {
            let text = checked(
                &bench,
                &format!(
                    "camera = [{{ name = \"a\", source = \"pattern\", size = \"{size}\", fps = {fps} }}]\n\
                     link = [{{ pattern = \"pair\", connect = \"tcp://127.0.0.1:5559\" }}]"
                ),
            );
            let (_, rest) = text.split_once("footage  a            about ").unwrap_or_else(|| panic!("{text}"));
            let printed: f64 = rest.split_once(" GB a day").expect("GB").0.parse().expect("a number");
            // Small pictures have more bytes per pixel than the estimate assumes.
            assert!((0.7..1.1).contains(&(printed / documented)), "{size} at {fps}: {printed} and {documented}");
        }
    }
}

#[test]
fn check_estimates_all_cameras_together() {
    let bench = Bench::new();
    let link = "[[link]]\npattern = \"pair\"\nconnect = \"tcp://127.0.0.1:5559\"\n";
    let camera = |name: &str, rest: &str| format!("[[camera]]\nname = \"{name}\"\n{rest}\n");
    let door = camera("door", "source = \"pattern\"");
    let yard = camera("yard", "source = \"/dev/video9\"\nsize = \"1280x720\"\nfps = 1\nquality = 95");
    let text = checked(&bench, &format!("{door}{yard}{link}"));
    for line in ["door         about 115 GB a day\n", "yard         about 29 GB a day\n"] {
        assert!(text.contains(&format!("  footage  {line}")), "{text}");
    }
    assert!(text.contains("  footage  together     about 144 GB a day if a receiver records every frame\n"), "{text}");

    let stream = camera("gate", "source = \"rtsp://10.0.0.9/1\"");
    let text = checked(&bench, &format!("{door}{stream}{link}"));
    assert!(text.contains("every frame, without gate, where `size` is not set\n"), "{text}");
    let text = checked(&bench, &format!("[[serial]]\nport = \"/dev/ttyUSB9\"\n{link}"));
    assert!(!text.contains("footage"), "{text}");
}

#[test]
fn check_estimates_how_long_recordings_last() {
    let bench = Bench::new();
    let link = "[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:5559\"\n";
    for (record, words) in [
        (
            "",
            "10 GB        lasts about 2 h, less than `keep` (7d), with one camera of 640x480 at 25 frames/s (115 GB a day)",
        ),
        (
            "fps = 1\nmax_size = \"500 GB\"",
            "500 GB       lasts about 108 days, with one camera of 640x480 at 1 frames/s (4.6 GB a day)",
        ),
        ("fps = 1\ncameras = [\"a\", \"b\"]", "with 2 cameras of 640x480 at 1 frames/s (9.2 GB a day)"),
    ] {
        let dir = bench.path("recordings");
        let text = checked(&bench, &format!("{link}[record]\ndir = \"{}\"\n{record}\n", dir.display()));
        assert!(text.contains(words), "{text}");
    }
    assert!(!checked(&bench, &format!("{link}[record]\noff = true\n")).contains("capacity"));
}

/// Passwords stay out of everything that people read, wherever an address has them.
#[test]
fn passwords_of_cameras_are_never_shown() {
    let (bench, receiver) = (Bench::new(), Bench::new());
    let receiver = receiver.pair_receiver();
    let sources = [
        "rtsp://me:hunter2@127.0.0.1:1/live",
        "rtsp://me:hunter%232@127.0.0.1:1/live?token=hunter2#hunter2",
        "http://127.0.0.1:1/user=me_password=hunter2/ch0",
        "HTTP://127.0.0.1:1/snapshot?usr=me&Pwd=hunter2",
        "rtspsrc location=rtsp://127.0.0.1:1/ user-pw=\"hunter2 hunter2\" ! appsink",
    ];
    let camera = |(number, source)| format!("[[camera]]\nname = \"c{number}\"\nsource = '{source}'\n");
    let cameras = sources.iter().enumerate().map(camera).collect::<Vec<_>>().concat();
    let link = format!("[[link]]\npattern = \"pair\"\nconnect = \"{}\"\n", receiver.link);
    let config = bench.write("cameras.toml", &format!("{cameras}{link}"));
    for command in ["check", "doctor"] {
        let output = watchpost(command, &config);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("c4") && !text.contains("hunter"), "{text}");
    }
    let agent = bench.agent(&format!("{cameras}{link}"));
    let page = &receiver.page;
    eventually("the causes on the wall", || {
        let wall = get(page, "/api/wall").text();
        assert!(!wall.contains("hunter"), "{wall}");
        wall.contains("\"c4\"").then_some(())
    });
    agent.wait_for_log("camera c1 (rtsp://…@127.0.0.1:1/live…): ", "refused");
    agent.wait_for_log("camera c3 (HTTP://127.0.0.1:1/snapshot…): ", "refused");
    assert!(!agent.log().contains("hunter") && !receiver.program.log().contains("hunter"), "{}", agent.log());
    for (source, expected) in
        [("rtsp://me:hunt#er2@cam/", "write %23"), ("me:hunter2@cam", "c"), ("x ! y=me:hunter2@cam", "line 3")]
    {
        let config = bench.write("wrong.toml", &format!("[[camera]]\nname = \"c\"\nsource = \"{source}\"\n{link}"));
        let output = watchpost("check", &config);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(expected) && !text.contains("hunt"), "{text}");
    }
}
