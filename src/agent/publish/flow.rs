//! How far the frames of a link may be ahead of what its receiver has seen.
//!
//! Sockets and networks queue, and what waits in a queue grows old. A receiver that says hello is sent no more frames of a
//! camera than fit its window; one that never does is sent all that the socket takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The largest window that is kept to.
const MOST: usize = 16;

/// A receiver says hello each second; one that says nothing for this long is taken for gone.
const SILENT: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(super) struct Flow {
    peer: Option<Peer>,
    /// Of each camera, what was sent last and not seen yet.
    unseen: Vec<VecDeque<u64>>,
}

struct Peer {
    window: usize,
    heard: Instant,
}

impl Flow {
    pub(super) fn of(cameras: usize) -> Flow {
        Flow { peer: None, unseen: vec![VecDeque::new(); cameras] }
    }

    /// Who is there from now on is somebody else, and what was on its way is lost.
    pub(super) fn begin_anew(&mut self) {
        *self = Flow::of(self.unseen.len());
    }

    pub(super) fn hello(&mut self, window: u32) {
        self.peer = Some(Peer { window: (window as usize).min(MOST), heard: Instant::now() });
    }

    /// A frame of the camera is off. What was sent before a hello counts, too.
    pub(super) fn sent(&mut self, camera: usize, seq: u64) {
        let unseen = &mut self.unseen[camera];
        if unseen.len() == MOST {
            unseen.pop_front();
        }
        unseen.push_back(seq);
    }

    /// The camera's frames up to this one are with the receiver, or past.
    pub(super) fn seen(&mut self, camera: usize, seq: u64) {
        self.unseen[camera].retain(|sent| *sent > seq);
        if let Some(peer) = &mut self.peer {
            peer.heard = Instant::now();
        }
    }

    /// Whether the receiver takes another frame of the camera.
    pub(super) fn is_open(&self, camera: usize) -> bool {
        self.peer.as_ref().is_none_or(|peer| self.unseen[camera].len() < peer.window)
    }

    /// It has said hello.
    pub(super) fn is_greeted(&self) -> bool {
        self.peer.is_some()
    }

    /// It was there and says nothing any more: it is stopped, or the way to it is.
    pub(super) fn is_silent(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.heard.elapsed() > SILENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends what it may of frames from 1 on, and gives the last.
    fn fill(flow: &mut Flow, next: &mut u64) -> u64 {
        while flow.is_open(0) && *next < 100 {
            flow.sent(0, *next);
            *next += 1;
        }
        *next - 1
    }

    #[test]
    fn a_receiver_that_says_hello_is_never_further_behind_than_its_window() {
        for window in 1..=4 {
            let (mut flow, mut next) = (Flow::of(2), 1);
            flow.hello(window);
            assert_eq!(fill(&mut flow, &mut next), u64::from(window));
            assert!(flow.is_open(1), "each camera has its own");
            for _ in 0..2 {
                flow.seen(0, 1);
                flow.hello(window);
            }
            assert_eq!(fill(&mut flow, &mut next), u64::from(window) + 1, "what is said twice counts once");
            flow.seen(0, 90);
            assert_eq!(fill(&mut flow, &mut next), 2 * u64::from(window) + 1);
            flow.begin_anew();
            assert_eq!(fill(&mut flow, &mut next), 99, "whoever comes next may never say hello");
        }
    }

    #[test]
    fn what_was_sent_before_the_hello_counts() {
        let mut flow = Flow::of(1);
        for seq in 1..=50 {
            flow.sent(0, seq);
        }
        flow.hello(u32::MAX);
        assert!(!flow.is_open(0));
        flow.seen(0, 35);
        assert!(flow.is_open(0));
    }
}
