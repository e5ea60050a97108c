//! Follows docs/raspberry-pi.md word by word.

use std::fs;
use std::path::PathBuf;

use crate::{Board, Scene, eventually};

/// Returns the commands of a `sh` block of the document, without their comments.
fn lines(block: usize) -> impl Iterator<Item = &'static str> {
    let document = include_str!("../../docs/raspberry-pi.md");
    let block = document.split("```sh\n").nth(block).expect("the block").split_once("```").expect("its end").0;
    block.lines().map(|line| line.split_once("  #").map_or(line, |(command, _)| command).trim_end())
}

/// The code block with the commands for the Pi itself.
const ON_THE_PI: usize = 3;

/// The code block that creates keys and tokens and copies them to the other end.
const KEYS: usize = 4;

pub fn agent_is_installed(scene: &mut Scene) {
    let Scene { pi, boards, hub } = scene;
    boards.iter_mut().for_each(Board::connect);
    pi.copy_to(&package());
    let port = |board: &Board| {
        format!(
            "[[serial]]
name = {:?}
port = {:?}
",
            board.name,
            board.port()
        )
    };
    let ports = port(&boards[0]) + &port(&boards[1]);
    let config = format!(
        "name = \"shed\"\n{ports}\
         [[camera]]\nname = \"door\"\nsource = \"/dev/video0\"\nsize = \"320x180\"\nfps = 5\n\
         [[camera]]\nname = \"window\"\nsource = \"/dev/video1\"\nsize = \"320x180\"\nfps = 5\n\
         [[link]]\npattern = \"pair\"\nconnect = \"tcp://10.0.2.2:{}\"\nplaintext = true\n",
        hub.port
    );
    for line in lines(ON_THE_PI) {
        // Replaces the editor, and answers apt's question.
        let (command, input) = match line.strip_prefix("sudo nano ") {
            Some(file) => (format!("sudo tee {file} >/dev/null"), config.as_str()),
            None => (line.to_owned(), "y\n"),
        };
        let output = pi.sh_with(&command, input);
        if line.ends_with("watchpost devices") {
            assert!(boards.iter().all(|board| output.contains(&board.port())), "{output}");
        }
        if line.starts_with("systemctl status") {
            assert!(output.contains("active (running)"), "{output}");
        }
    }
}

/// Starts the receiver's service with its own keys and a page for other machines that needs a token.
pub fn receiver_is_installed(scene: &mut Scene) {
    let Scene { pi, .. } = scene;
    lines(KEYS).filter(|line| !line.contains("ssh")).for_each(|line| drop(pi.sh(line)));
    let config = "/etc/watchpost/receiver.toml";
    pi.sh_with(
        &format!("sudo tee {config} >/dev/null"),
        "[[link]]\npattern = \"pair\"\nbind = \"tcp://*:5559\"\n\
         [link.curve]\nsecret_key_file = \"/etc/watchpost/keys/shed.key_secret\"\n\
         allowed_keys_dir = \"/etc/watchpost/allowed\"\n\
         [web]\nlisten = \"0.0.0.0:8080\"\ntoken_file = \"/etc/watchpost/keys/web.token\"\n\
         [history]\n[record]\n",
    );
    pi.sh(&format!("sudo -u watchpost watchpost check --config {config}"));
    pi.sh("sudo systemctl enable --now watchpost-receiver");
    eventually("the page's address", || {
        let output = pi.sh("systemctl status watchpost-receiver");
        (output.contains("active (running)") && output.contains("page at http://")).then_some(())
    });
    pi.sh(&format!("sudo watchpost doctor --config {config}"));
    pi.sh("sudo systemctl disable --now watchpost-receiver");
}

/// Returns the package that cross/build.sh made.
pub fn package() -> PathBuf {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/target/cross/watchpost-bookworm-arm64-lean");
    let mut files = fs::read_dir(dir).expect("cross/build.sh aarch64 --lean").map(|file| file.expect("a file").path());
    files.find(|file| file.extension().is_some_and(|ending| ending == "deb")).expect("a package")
}
