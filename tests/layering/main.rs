//! Which modules may know which.

mod paths;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use paths::{code, starting_with, without_comments as strip};
use tree::{children, cycle, modules, sibling_uses, source, source_files};

/// A file's code with its unit tests, without comments.
fn without_comments(file: &Path) -> String {
    strip(&fs::read_to_string(file).expect("a readable file"))
}

/// The modules of lib.rs in its order.
fn top_level() -> Vec<String> {
    children(&code(&fs::read_to_string(source().join("lib.rs")).expect("lib.rs")))
}

#[test]
fn modules_use_only_modules_above_them_in_lib_rs() {
    let order = top_level();
    assert!(order.len() > 8 && order.contains(&"workers".to_owned()), "{order:?}");
    for module in modules() {
        let Some(own) = module.path.first().and_then(|own| order.iter().position(|name| name == own)) else { continue };
        for path in starting_with("crate", &module.code_with_tests) {
            let Some(used) = order.iter().position(|name| *name == path[0]) else { continue };
            assert!(used <= own, "{} uses {}, which comes later in lib.rs", module.path.join("/"), path.join("::"));
        }
    }
}

#[test]
fn siblings_do_not_use_each_other_in_a_circle() {
    let modules = modules();
    let uses: Vec<_> = modules.iter().map(|parent| (&parent.path, sibling_uses(parent, &modules))).collect();
    let seen: usize = uses.iter().map(|(_, uses)| uses.len()).sum();
    assert!(seen > 50, "only {seen} modules use a sibling: the code was not understood");
    let cycles: Vec<String> = uses
        .iter()
        .filter_map(|(parent, uses)| Some(format!("in {:?}: {}", parent.join("/"), cycle(uses)?.join(" -> "))))
        .collect();
    assert!(cycles.is_empty(), "siblings use each other in a circle: {cycles:#?}");
}

#[test]
fn modules_do_not_name_what_they_must_not_know() {
    let forbidden: [(&str, &[&str]); 31] = [
        ("agent", &["crate::receiver"]),
        ("receiver", &["crate::agent"]),
        ("agent/camera", &["crate::wire", "crate::link", "super::publish", "zmq::"]),
        ("agent/camera/network", &["super::video", "camera::video", "std::process"]),
        ("agent/camera/network/multipart.rs", &["std::io", "tokio", "hyper", "Instant"]),
        ("agent/camera/network/answer.rs", &["std::io", "tokio", "hyper", "Instant"]),
        ("agent/camera/network/sdp.rs", &["std::io", "tokio", "hyper", "Instant"]),
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
        // Names of agents and cameras are keys in memory, and never become a path.
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
    for (module, words) in forbidden {
        let path = source().join(module);
        let files = if path.is_dir() { source_files(&path) } else { vec![path] };
        assert!(!files.is_empty(), "{module} is gone; update this list");
        for file in files {
            let code = without_comments(&file);
            for word in words {
                assert!(!code.contains(word), "{} must not name {word}", file.display());
            }
        }
    }
}

/// A program that names OpenCV is linked to it, and loads its libraries whether or not a camera needs them.
#[test]
fn only_watchpost_video_names_opencv() {
    let (video, others): (Vec<_>, Vec<_>) =
        source_files(&source()).into_iter().partition(|file| file.starts_with(source().join("video")));
    let names_it = |file: &PathBuf| without_comments(file).contains("opencv");
    assert!(video.iter().any(names_it), "OpenCV is used elsewhere; change this test with it");
    assert_eq!(others.into_iter().find(names_it), None);
}
