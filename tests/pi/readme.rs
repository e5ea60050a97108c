//! README's section about the Pi, followed word by word.

use std::fs;
use std::path::PathBuf;

use crate::{Board, Scene};

/// The lines that README has for the Pi itself.
fn lines() -> impl Iterator<Item = &'static str> {
    let section = include_str!("../../README.md").split_once("### On a Raspberry Pi\n").expect("the section").1;
    let block = section.split("```sh\n").nth(3).expect("its third block").split_once("```").expect("its end").0;
    block.lines().map(|line| line.split_once("  #").map_or(line, |(command, _)| command).trim_end())
}

pub fn followed(scene: &mut Scene) {
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
    for line in lines() {
        // What a person does with an editor, and what apt asks.
        let (command, input) = match line.strip_prefix("sudo nano ") {
            Some(file) => (format!("sudo tee {file} >/dev/null"), config.as_str()),
            None => (line.to_owned(), "y\n"),
        };
        let said = pi.sh_with(&command, input);
        if line.ends_with("watchpost devices") {
            assert!(boards.iter().all(|board| said.contains(&board.port())), "{said}");
        }
        if line.starts_with("systemctl status") {
            assert!(said.contains("active (running)"), "{said}");
        }
    }
}

/// The package that cross/build.sh has left.
pub fn package() -> PathBuf {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/target/cross/watchpost-bookworm-arm64-lean");
    let mut files = fs::read_dir(dir).expect("cross/build.sh aarch64 --lean").map(|file| file.expect("a file").path());
    files.find(|file| file.extension().is_some_and(|ending| ending == "deb")).expect("a package")
}
