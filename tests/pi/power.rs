//! The Pi is started anew, by its user and by who trips over its cable.

use std::thread::sleep;
use std::time::Duration;

use crate::{Board, Scene, eventually};

pub fn rebooted(scene: &mut Scene) {
    let Scene { pi, boards, hub } = scene;
    let boot = hub.hears_frame("door")["boot"].clone();
    // The connection ends before the command does.
    let _ = pi.ask("sudo systemctl reboot", "");
    pi.hang_up();
    hub.hears("a frame after the reboot", |m| m["type"] == "frame" && m["boot"] != boot);
    pi.is_reachable();
    boards.iter_mut().for_each(Board::connect);
    // Their driver may have come later than the service.
    eventually("both boards are heard", || {
        boards.iter_mut().zip(1..).for_each(|(board, n)| board.says(&format!("boot-{n}")));
        (hub.kept("boot").0 == 2).then_some(())
    });
}

/// The receiver takes nothing, so that all of them are on their way, and none is acknowledged, when the power goes.
pub fn cut(scene: &mut Scene) {
    let Scene { pi, boards, hub } = scene;
    let spool = || pi.sh("sudo -u watchpost watchpost spool");
    eventually("nothing waits", || spool().contains("no readings wait for").then_some(()));
    hub.sleeps();
    for n in 1..=1000 {
        boards[n % 2].says(&format!("way-{n}"));
        // As fast as two boards at 9600 baud are with lines so short.
        sleep(Duration::from_millis(4));
    }
    eventually("the readings are on the Pi's disk", || spool().contains("1000 readings wait for").then_some(()));
    pi.cut_and_start(boards);
    hub.wakes();
    hub.keeps("way", 1000);
    assert_eq!(hub.kept("way"), (1000, 1000), "each once");
}
