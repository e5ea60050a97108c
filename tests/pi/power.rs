//! Restarts the Pi, by a reboot and by a power cut.

use std::thread::sleep;
use std::time::Duration;

use crate::{Board, Scene, eventually};

pub fn rebooted(scene: &mut Scene) {
    let Scene { pi, boards, hub } = scene;
    let boot = hub.wait_for_frame("door")["boot"].clone();
    // The connection ends before the command does.
    let _ = pi.ask("sudo systemctl reboot", "");
    pi.hang_up();
    hub.wait_for("a frame after the reboot", |m| m["type"] == "frame" && m["boot"] != boot);
    pi.wait_until_reachable();
    boards.iter_mut().for_each(Board::connect);
    // The boards' driver may have loaded later than the service.
    eventually("readings of both boards", || {
        boards.iter_mut().zip(1..).for_each(|(board, n)| board.write_line(&format!("boot-{n}")));
        (hub.kept("boot").0 == 2).then_some(())
    });
}

/// The receiver is stopped, so that no reading is acknowledged when the power is cut.
pub fn cut(scene: &mut Scene) {
    let Scene { pi, boards, hub } = scene;
    let spool = || pi.sh("sudo -u watchpost watchpost spool");
    eventually("an empty spool", || spool().contains("no readings wait for").then_some(()));
    hub.sleeps();
    for n in 1..=1000 {
        boards[n % 2].write_line(&format!("way-{n}"));
        // The rate of two boards at 9600 baud with such short lines.
        sleep(Duration::from_millis(4));
    }
    eventually("the readings on the Pi's disk", || spool().contains("1000 readings wait for").then_some(()));
    pi.cut_and_start(boards);
    hub.wakes();
    hub.keeps("way", 1000);
    assert_eq!(hub.kept("way"), (1000, 1000), "a reading arrived twice");
}
