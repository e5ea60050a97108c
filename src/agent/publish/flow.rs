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
}

struct Peer {
    window: usize,
    heard: Instant,
}

/// Of one camera, what was sent last and not seen yet.
#[derive(Default)]
pub(super) struct Unseen(VecDeque<u64>);

impl Flow {
    /// Who is there from now on is somebody else.
    pub(super) fn begin_anew(&mut self) {
        *self = Flow::default();
    }

    pub(super) fn hello(&mut self, window: u32) {
        self.peer = Some(Peer { window: (window as usize).min(MOST), heard: Instant::now() });
    }

    /// The receiver says that it has seen something.
    pub(super) fn heard(&mut self) {
        if let Some(peer) = &mut self.peer {
            peer.heard = Instant::now();
        }
    }

    /// Whether the receiver takes another frame of a camera.
    pub(super) fn is_open(&self, camera: &Unseen) -> bool {
        self.peer.as_ref().is_none_or(|peer| camera.0.len() < peer.window)
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

impl Unseen {
    /// A frame is off. What was sent before a hello counts, too.
    pub(super) fn sent(&mut self, seq: u64) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(seq);
    }

    /// The frames up to this one are with the receiver, or past.
    pub(super) fn seen(&mut self, seq: u64) {
        self.0.retain(|sent| *sent > seq);
    }

    /// What was on its way is lost.
    pub(super) fn begin_anew(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as many frames as allowed; returns the last number.
    fn fill(flow: &Flow, camera: &mut Unseen, next: &mut u64) -> u64 {
        while flow.is_open(camera) && *next < 100 {
            camera.sent(*next);
            *next += 1;
        }
        *next - 1
    }

    #[test]
    fn receiver_is_never_further_behind_than_its_window() {
        for window in 1..=4 {
            let (mut flow, mut camera, mut next) = (Flow::default(), Unseen::default(), 1);
            flow.hello(window);
            assert_eq!(fill(&flow, &mut camera, &mut next), u64::from(window));
            assert!(flow.is_open(&Unseen::default()), "each camera has its own window");
            for _ in 0..2 {
                camera.seen(1);
                flow.hello(window);
            }
            assert_eq!(fill(&flow, &mut camera, &mut next), u64::from(window) + 1, "a repeated message counts once");
            camera.seen(90);
            assert_eq!(fill(&flow, &mut camera, &mut next), 2 * u64::from(window) + 1);
            flow.begin_anew();
            assert_eq!(fill(&flow, &mut camera, &mut next), 99, "the next peer may never send a hello");
        }
    }

    #[test]
    fn frames_sent_before_the_hello_count() {
        let (mut flow, mut camera) = (Flow::default(), Unseen::default());
        (1..=50).for_each(|seq| camera.sent(seq));
        flow.hello(u32::MAX);
        assert!(!flow.is_open(&camera));
        camera.seen(35);
        assert!(flow.is_open(&camera));
    }
}
