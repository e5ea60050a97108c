//! A board on the Pi's USB, emulated by QEMU: an FTDI chip connected to a socket on this machine.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::eventually;

pub struct Board {
    pub name: &'static str,
    pub socket: PathBuf,
    stream: Option<UnixStream>,
}

impl Board {
    pub fn new(dir: &Path, name: &'static str) -> Board {
        Board { name, socket: dir.join(format!("board-{name}.sock")), stream: None }
    }

    /// Returns QEMU's description of the device.
    pub fn device(&self) -> String {
        format!("usb-serial,id={0},chardev=wire-{0},serial={0},always-plugged=on", self.name)
    }

    /// Returns the port's name on the Pi, made of the chip's maker, model and serial number.
    pub fn port(&self) -> String {
        format!("/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{}-if00-port0", self.name)
    }

    /// Connects to the board's socket. Call it after the machine was started.
    pub fn connect(&mut self) {
        self.stream = Some(eventually("the board's socket", || UnixStream::connect(&self.socket).ok()));
    }

    pub fn write_line(&mut self, line: &str) {
        let stream = self.stream.as_mut().expect("a connected board");
        stream.write_all(format!("{line}\n").as_bytes()).expect("a running QEMU");
    }
}
