//! Standard error of `watchpost-video` and its libraries: goes to the log at debug level, and its last line becomes the
//! cause when the program exits.

use std::io::{ErrorKind, Read};
use std::mem::take;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::config::without_passwords;

/// Longer lines are truncated to this many bytes.
const MAX_LINE_BYTES: usize = 300;

/// FFmpeg writes several lines per frame of a damaged stream.
const MAX_LINES_PER_SECOND: u32 = 10;

pub(super) struct ChildStderrLog<R> {
    /// `None` once it is closed.
    pub(super) pipe: Option<R>,
    camera: String,
    line: Vec<u8>,
    last: String,
    second_start: Instant,
    lines_in_second: u32,
}

impl<R: Read> ChildStderrLog<R> {
    pub(super) fn new(pipe: R, camera: &str) -> ChildStderrLog<R> {
        let (camera, second_start) = (camera.to_owned(), Instant::now());
        ChildStderrLog {
            pipe: Some(pipe),
            camera,
            line: Vec::new(),
            last: String::new(),
            second_start,
            lines_in_second: 0,
        }
    }

    /// Reads what is available, without waiting.
    pub(super) fn read(&mut self) {
        let mut bytes = [0; 4096];
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut bytes) {
            Ok(count @ 1..) => self.add(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(0) | Err(_) => self.pipe = None,
        }
    }

    /// Reads the rest of a program that has exited; returns the last line, if it wrote any.
    pub(super) fn last(&mut self) -> Option<&str> {
        // Twice what a pipe can hold: 64 KiB (pipe(7)).
        for _ in 0..32 {
            self.read();
        }
        self.end_line();
        Some(&*self.last).filter(|line| !line.is_empty())
    }

    fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, ends) = match piece.split_last() {
                Some((b'\n' | b'\r', text)) => (text, true),
                _ => (piece, false),
            };
            let free = MAX_LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(free)]);
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
        // Libraries include the stream's address in their messages.
        self.last = without_passwords(line.trim());
        if self.may_log() {
            debug!("camera {}: {}", self.camera, self.last);
        }
    }

    fn may_log(&mut self) -> bool {
        if self.second_start.elapsed() > Duration::from_secs(1) {
            let omitted = self.lines_in_second.saturating_sub(MAX_LINES_PER_SECOND);
            if omitted > 0 {
                debug!("camera {}: {omitted} more lines", self.camera);
            }
            (self.second_start, self.lines_in_second) = (Instant::now(), 0);
        }
        self.lines_in_second = self.lines_in_second.saturating_add(1);
        self.lines_in_second <= MAX_LINES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_is_kept_truncated_and_without_passwords() {
        let long = format!("{}\n\n", "x".repeat(100_000));
        for (text, last) in [
            ("", None),
            ("\n \r\n", None),
            ("one\ntwo", Some("two")),
            ("frame 1\rframe \x1b2\r", Some("frame 2")),
            ("rtsp://me:you@cam/1: 401 Unauthorized\n", Some("rtsp://…@cam/1: 401 Unauthorized")),
            (&long, Some(&*"x".repeat(MAX_LINE_BYTES))),
        ] {
            assert_eq!(ChildStderrLog::new(text.as_bytes(), "door").last(), last);
        }
    }

    #[test]
    fn flood_of_lines_is_truncated_in_the_log() {
        let mut stderr = ChildStderrLog::new(&b""[..], "door");
        let logged = (0..1000).filter(|_| stderr.may_log()).count();
        assert!((10..=20).contains(&logged), "{logged}");
    }
}
