use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::Bench;
use crate::web_access::with;

#[test]
fn keygen_makes_private_tokens_and_weak_ones_are_refused() {
    let bench = Bench::new();
    let made = bench.keygen_tokens();
    let message = String::from_utf8_lossy(&made.stdout).into_owned();
    let control = bench.token("web.token");
    assert!(control.len() >= 43 && control != bench.token("web-view.token"), "{control}");
    assert!(!message.contains(&control), "keygen printed the token");
    for name in ["web.token", "web-view.token"] {
        let file = fs::metadata(bench.path(name)).expect("a file");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
    // The configuration that keygen suggests works.
    let table = message.split("\n\n").find(|part| part.contains("[web]")).expect("a table");
    let table = table.replace("0.0.0.0:8080", "0.0.0.0:0");
    let receiver = bench.receiver_of(&format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n{table}\n"));
    assert_eq!(with(&receiver.page, "GET", "/api/wall", &control, "").status, 200);

    let again = bench.keygen_tokens();
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("already exists and was not overwritten"), "{again:?}");
    assert_eq!(bench.token("web.token"), control);

    let token = bench.path("web.token");
    let write = |text: &str, mode: u32| {
        fs::write(&token, text).expect("a file");
        fs::set_permissions(&token, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let good = "x".repeat(32);
    for (text, mode, words) in [
        (good.as_str(), 0o640, "`chmod 600 "),
        (&good[1..], 0o600, "at least 32"),
        ("", 0o600, "`watchpost keygen --token` creates one"),
        (&format!("{good} {good}"), 0o600, "one word"),
        (&bench.token("web-view.token"), 0o600, "hold the same token"),
    ] {
        write(text, mode);
        let message = refused(
            &bench,
            &format!(
                "[web]\ntoken_file = \"{}\"\nview_token_file = \"{}\"\n",
                token.display(),
                bench.path("web-view.token").display()
            ),
        );
        assert!(message.contains(words), "{message} does not contain {words:?}");
        assert!(text.is_empty() || !message.contains(text), "the message contains the token: {message}");
    }
    let message = refused(&bench, "[web]\ntoken_file = \"/nowhere/web.token\"\n");
    assert!(
        message.contains("/nowhere/web.token") && message.contains("`watchpost keygen --token` creates one"),
        "{message}"
    );
}

/// Runs and checks a receiver's configuration, which both must refuse; returns the error of `receive`.
fn refused(bench: &Bench, web: &str) -> String {
    let config = bench.path("wrong.toml");
    fs::write(&config, format!("[[link]]\npattern = \"pair\"\nbind = \"tcp://127.0.0.1:*\"\n{web}")).expect("a file");
    let run = bench.watchpost("receive").arg("--config").arg(&config).output().expect("it starts");
    assert_eq!(run.status.code(), Some(1), "{web}");
    let check = bench.watchpost("check").arg("--config").arg(&config).output().expect("it starts");
    assert_eq!(check.status.code(), Some(1), "{web}");
    String::from_utf8_lossy(&run.stderr).into_owned()
}

#[test]
fn page_reachable_by_others_needs_a_token() {
    let bench = Bench::new();
    for (web, line, words) in [
        ("listen = \"0.0.0.0:8080\"", 5, "`watchpost keygen --token`"),
        ("listen = \"[::]:8080\"", 5, "127.0.0.1:8080"),
        ("token_file = \"web.token\"", 5, "whole path"),
        ("view_token_file = \"/etc/watchpost/web-view.token\"", 5, "`token_file = …`"),
        ("tokenfile = \"x\"", 5, "did you mean `token_file`?"),
    ] {
        let message = refused(&bench, &format!("[web]\n{web}\n"));
        assert!(message.contains(&format!("line {line}: ")) && message.contains(words), "{message}");
    }
}
