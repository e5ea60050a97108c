//! What each module must not know.

use std::fs;
use std::path::{Path, PathBuf};

fn source_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory of ours") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(source_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code of a file, without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a file of ours");
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// The modules in the order of lib.rs.
fn modules() -> Vec<String> {
    let lib = code(&source().join("lib.rs"));
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

/// The first word of a path.
fn word(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first words of the paths in a `use` group, up to the brace that closes it.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (place, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.push(word(&group[start..place]));
                start = place + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads
}

#[test]
fn a_nested_group_is_seen_through() {
    assert_eq!(
        heads("config::{Quality, Format}, receiver::Also, wire::{self, x::{y}}};"),
        ["config", "receiver", "wire"]
    );
}

/// The modules of the crate that the code names.
fn used<'a>(code: &str, modules: &'a [String]) -> Vec<&'a str> {
    let names = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(group) => heads(group),
        None => vec![word(rest)],
    });
    names.filter_map(|name| modules.iter().find(|module| **module == name)).map(String::as_str).collect()
}

#[test]
fn a_module_uses_only_what_stands_above_it_in_lib_rs() {
    let modules = modules();
    assert!(modules.len() > 8, "{modules:?}");
    for file in source_files(&source()) {
        let place = file.strip_prefix(source()).expect("below src");
        let own = place.iter().next().expect("a name").to_string_lossy().trim_end_matches(".rs").to_owned();
        let Some(own_rank) = modules.iter().position(|module| *module == own) else { continue };
        for other in used(&code(&file), &modules) {
            let rank = modules.iter().position(|module| module == other).expect("a module");
            assert!(rank <= own_rank, "{} uses {other}, which stands below {own}", place.display());
        }
    }
}

#[test]
fn what_must_not_be_known_is_not_named() {
    let forbidden: [(&str, &[&str]); 27] = [
        ("agent", &["crate::receiver"]),
        ("receiver", &["crate::agent"]),
        ("agent/camera", &["crate::wire", "crate::link", "super::publish", "zmq::"]),
        ("agent/camera/video/pipe.rs", &["std::io", "std::process", "tokio", "Instant"]),
        ("agent/line", &["tokio", "std::io", "std::fs", "tracing", "Instant", "crate::reading"]),
        ("agent/serial", &["crate::link", "super::publish", "zmq::"]),
        ("agent/spool", &["crate::link", "super::publish", "zmq::"]),
        ("receiver/recorder/ebml.rs", &["std::io", "std::fs", "tokio", "crate::"]),
        ("receiver/recorder/matroska.rs", &["std::io", "std::fs", "tokio", "crate::"]),
        ("receiver/recorder", &["zmq::", "crate::link", "super::web", "receiver::web"]),
        ("cmd/doctor", &["tracing", "unsafe", "zmq::", "crate::receiver", "crate::wire"]),
        ("host", &["tokio", "tracing", "\"/dev/", "\"/sys/", "\"/proc/", "crate::wire", "crate::agent"]),
        ("quantity.rs", &["crate::"]),
        ("ranges.rs", &["crate::", "std::io"]),
        ("store", &["crate::", "tokio", "tracing"]),
        ("agent/encode.rs", &["tokio", "crate::wire", "crate::link"]),
        ("config", &["tokio", "zmq::", "tracing"]),
        ("key.rs", &["crate::", "std::fs", "tokio"]),
        ("auth/secret.rs", &["crate::", "tokio", "zmq::"]),
        ("auth/token.rs", &["crate::receiver", "tokio", "axum"]),
        // Names of agents and cameras are looked up in memory, and never become a path.
        ("receiver/web", &["std::fs", "tokio::fs", "PathBuf", "zmq::"]),
        ("auth/certificate.rs", &["crate::link", "tokio", "socket("]),
        ("wire", &["tokio", "zmq::", "std::net", "std::io", "Instant", "SystemTime"]),
        (
            "cmd/devices",
            &["tokio", "tracing", "unsafe", "\"/dev", "\"/sys", "crate::wire", "crate::link", "crate::receiver"],
        ),
        ("jpeg", &["crate::", "turbojpeg", "tokio", "std::io"]),
        ("frame.rs", &["zmq::", "turbojpeg", "crate::wire"]),
        ("video", &["tokio", "tracing", "zmq::", "watchpost::wire", "watchpost::link", "watchpost::receiver"]),
    ];
    for (place, words) in forbidden {
        let path = source().join(place);
        let files = if path.is_dir() { source_files(&path) } else { vec![path] };
        assert!(!files.is_empty(), "{place} is gone; change this list with it");
        for file in files {
            let code = code(&file);
            for word in words {
                assert!(!code.contains(word), "{} must not name {word}", file.display());
            }
        }
    }
}

/// Who names it is linked to it, and has its libraries in memory whether or not a camera needs them.
#[test]
fn opencv_is_for_watchpost_video_alone() {
    let (video, others): (Vec<_>, Vec<_>) =
        source_files(&source()).into_iter().partition(|file| file.starts_with(source().join("video")));
    let names_it = |file: &PathBuf| code(file).contains("opencv");
    assert!(video.iter().any(names_it), "it is elsewhere; change this test with it");
    assert_eq!(others.into_iter().find(names_it), None);
}
