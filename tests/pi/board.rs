//! A board on the Pi's USB, as QEMU pretends it: an FTDI chip whose other side is a socket here.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::eventually;

pub struct Board {
    pub name: &'static str,
    pub socket: PathBuf,
    wire: Option<UnixStream>,
}

impl Board {
    pub fn new(dir: &Path, name: &'static str) -> Board {
        Board { name, socket: dir.join(format!("board-{name}.sock")), wire: None }
    }

    /// What QEMU calls it.
    pub fn device(&self) -> String {
        format!("usb-serial,id={0},chardev=wire-{0},serial={0},always-plugged=on", self.name)
    }

    /// Its name on the Pi, from the chip's maker, model and serial number.
    pub fn port(&self) -> String {
        format!("/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{}-if00-port0", self.name)
    }

    /// To be called when the machine was started.
    pub fn connect(&mut self) {
        self.wire = Some(eventually("the board's socket", || UnixStream::connect(&self.socket).ok()));
    }

    pub fn says(&mut self, line: &str) {
        let wire = self.wire.as_mut().expect("connected");
        wire.write_all(format!("{line}\n").as_bytes()).expect("QEMU takes it");
    }
}
