//! What `watchpost-video` and its libraries write to standard error: for the log, where it is wanted, and for the cause when
//! the program ends.

use std::io::{ErrorKind, Read};
use std::mem::take;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::config::without_passwords;

/// As much as is kept of a line, in bytes.
const LONGEST: usize = 300;

/// FFmpeg writes several lines a frame of a damaged stream.
const A_SECOND: u32 = 10;

pub(super) struct ChildStderrLog<R> {
    /// Until it ends.
    pub(super) pipe: Option<R>,
    camera: String,
    line: Vec<u8>,
    last: String,
    second: Instant,
    in_second: u32,
}

impl<R: Read> ChildStderrLog<R> {
    pub(super) fn new(pipe: R, camera: &str) -> ChildStderrLog<R> {
        let (camera, second) = (camera.to_owned(), Instant::now());
        ChildStderrLog { pipe: Some(pipe), camera, line: Vec::new(), last: String::new(), second, in_second: 0 }
    }

    /// Reads what has come, without waiting.
    pub(super) fn read(&mut self) {
        let mut bytes = [0; 4096];
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut bytes) {
            Ok(count @ 1..) => self.take(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(0) | Err(_) => self.pipe = None,
        }
    }

    /// Reads what there is of one that has ended; gives the last line, if any was written.
    pub(super) fn last(&mut self) -> Option<&str> {
        // A pipe holds half of that.
        for _ in 0..32 {
            self.read();
        }
        self.end_line();
        Some(&*self.last).filter(|line| !line.is_empty())
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, ends) = match piece.split_last() {
                Some((b'\n' | b'\r', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LONGEST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&take(&mut self.line)).replace(char::is_control, "");
        if line.trim().is_empty() {
            return;
        }
        // Libraries name the addresses that they have trouble with.
        self.last = without_passwords(line.trim());
        if self.may_say() {
            debug!("camera {}: {}", self.camera, self.last);
        }
    }

    fn may_say(&mut self) -> bool {
        if self.second.elapsed() > Duration::from_secs(1) {
            let left_out = self.in_second.saturating_sub(A_SECOND);
            if left_out > 0 {
                debug!("camera {}: {left_out} lines more", self.camera);
            }
            (self.second, self.in_second) = (Instant::now(), 0);
        }
        self.in_second = self.in_second.saturating_add(1);
        self.in_second <= A_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_is_short_and_without_passwords() {
        let long = format!("{}\n\n", "x".repeat(100_000));
        for (text, last) in [
            ("", None),
            ("\n \r\n", None),
            ("one\ntwo", Some("two")),
            ("frame 1\rframe \x1b2\r", Some("frame 2")),
            ("rtsp://me:you@cam/1: 401 Unauthorized\n", Some("rtsp://…@cam/1: 401 Unauthorized")),
            (&long, Some(&*"x".repeat(LONGEST))),
        ] {
            assert_eq!(ChildStderrLog::new(text.as_bytes(), "door").last(), last);
        }
    }

    #[test]
    fn floods_are_not_logged() {
        let mut complaints = ChildStderrLog::new(&b""[..], "door");
        let said = (0..1000).filter(|_| complaints.may_say()).count();
        assert!((10..=20).contains(&said), "{said}");
    }
}
