//! Limits how many frames of a camera are sent before the receiver acknowledges them.
//!
//! Frames grow old in the queues of sockets and networks. A receiver that sends a hello gets no more unacknowledged frames of
//! a camera than fit its window. A receiver that never does gets as many as the socket accepts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The limit for the window that a receiver requests.
const MAX_WINDOW: usize = 16;

/// A receiver that sends nothing for this long counts as gone; it should send a hello each second.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(super) struct FlowControl {
    peer: Option<Peer>,
}

struct Peer {
    window: usize,
    last_message: Instant,
}

/// The numbers of one camera's unacknowledged frames, oldest first.
#[derive(Default)]
pub(super) struct InFlight(VecDeque<u64>);

impl FlowControl {
    /// Forgets the peer.
    pub(super) fn reset(&mut self) {
        *self = FlowControl::default();
    }

    /// Records a hello and the number of unacknowledged frames it allows.
    pub(super) fn hello(&mut self, window: u32) {
        self.peer = Some(Peer { window: (window as usize).min(MAX_WINDOW), last_message: Instant::now() });
    }

    /// Records that the receiver is alive.
    pub(super) fn keep_alive(&mut self) {
        if let Some(peer) = &mut self.peer {
            peer.last_message = Instant::now();
        }
    }

    /// Whether the window has room for another frame of a camera.
    pub(super) fn is_open(&self, camera: &InFlight) -> bool {
        self.peer.as_ref().is_none_or(|peer| camera.0.len() < peer.window)
    }

    /// Whether the receiver has sent a hello.
    pub(super) fn has_hello(&self) -> bool {
        self.peer.is_some()
    }

    /// True if the receiver has sent a hello but is silent now: it or the network has stopped.
    pub(super) fn is_silent(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.last_message.elapsed() > SILENCE_TIMEOUT)
    }
}

impl InFlight {
    /// Records a sent frame. Frames sent before the hello count, too.
    pub(super) fn sent(&mut self, seq: u64) {
        if self.0.len() == MAX_WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(seq);
    }

    /// Removes the frames up to this number: the receiver has them, or will not get them.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        self.0.retain(|sent| *sent > seq);
    }

    /// Forgets all frames, which are lost.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends frames, numbered from 1, while the window has room; returns the last number.
    fn fill(flow: &FlowControl, camera: &mut InFlight, next: &mut u64) -> u64 {
        while flow.is_open(camera) && *next < 100 {
            camera.sent(*next);
            *next += 1;
        }
        *next - 1
    }

    #[test]
    fn receiver_is_never_further_behind_than_its_window() {
        for window in 1..=4 {
            let (mut flow, mut camera, mut next) = (FlowControl::default(), InFlight::default(), 1);
            flow.hello(window);
            assert_eq!(fill(&flow, &mut camera, &mut next), u64::from(window));
            assert!(flow.is_open(&InFlight::default()), "each camera has its own window");
            for _ in 0..2 {
                camera.acknowledge(1);
                flow.hello(window);
            }
            assert_eq!(
                fill(&flow, &mut camera, &mut next),
                u64::from(window) + 1,
                "a repeated acknowledgement counts once"
            );
            camera.acknowledge(90);
            assert_eq!(fill(&flow, &mut camera, &mut next), 2 * u64::from(window) + 1);
            flow.reset();
            assert_eq!(fill(&flow, &mut camera, &mut next), 99, "the next receiver may never send a hello");
        }
    }

    #[test]
    fn frames_sent_before_the_hello_count() {
        let (mut flow, mut camera) = (FlowControl::default(), InFlight::default());
        (1..=50).for_each(|seq| camera.sent(seq));
        flow.hello(u32::MAX);
        assert!(!flow.is_open(&camera));
        camera.acknowledge(35);
        assert!(flow.is_open(&camera));
    }
}
