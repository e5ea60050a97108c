//! A link's use of the spool: fetches pages that the receiver lacks, and tracks unacknowledged messages.

use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::congestion_window::CongestionWindow;
use super::refusals::Refusals;
use crate::agent::spool::{Page, SpoolHandle};
use crate::name::Name;
use crate::ranges::SeqRange;
use crate::wire::{Limit, Message};

/// Readings without an acknowledgement are sent again after this time.
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// How many unacknowledged messages a link remembers.
const MAX_IN_FLIGHT: usize = 4096;

/// The readings that one link's receiver lacks.
#[derive(Debug)]
pub struct Backlog {
    spool: SpoolHandle,
    /// Whether the current receiver stores and acknowledges readings; `None` before its hello.
    acks: Option<bool>,
    /// The last receiver that sent a hello acknowledges readings.
    last_receiver_acks: bool,
    /// The spool may hold readings that the receiver lacks.
    may_have_more: bool,
    requested: Option<oneshot::Receiver<Page>>,
    page: Option<Page>,
    in_flight: VecDeque<Sent>,
    refusals: Refusals,
    window: CongestionWindow,
}

/// A message without a complete answer.
#[derive(Debug)]
struct Sent {
    boot: Name,
    /// Its readings that were neither acknowledged nor refused. A receiver answers in the order of the numbers.
    seqs: SeqRange,
    at: Instant,
    /// Size in bytes if it is a page; `None` for live readings.
    page_bytes: Option<usize>,
}

impl Backlog {
    /// Creates the backlog of a link that the spool keeps readings for.
    #[must_use]
    pub fn new(spool: SpoolHandle) -> Backlog {
        Backlog {
            spool,
            acks: None,
            last_receiver_acks: false,
            may_have_more: false,
            requested: None,
            page: None,
            in_flight: VecDeque::new(),
            refusals: Refusals::default(),
            window: CongestionWindow::default(),
        }
    }

    /// Handles a hello, in which the receiver states whether it acknowledges readings.
    pub(super) fn hello(&mut self, acks: bool) {
        self.may_have_more |= acks && !self.acks();
        (self.acks, self.last_receiver_acks) = (Some(acks), acks);
        self.spool.set_acknowledges(acks);
    }

    /// True if the receiver does not store readings.
    pub(super) fn receiver_discards(&self) -> bool {
        self.acks == Some(false)
    }

    fn acks(&self) -> bool {
        self.acks == Some(true)
    }

    /// Whether readings that the link skips will be sent from the spool later.
    pub(super) fn can_resend(&self) -> bool {
        self.last_receiver_acks
    }

    /// Starts over for a new peer, which has none of the unacknowledged messages.
    pub(super) fn reset(&mut self) {
        self.spool.reset_in_flight();
        *self = Backlog { last_receiver_acks: self.last_receiver_acks, ..Backlog::new(self.spool.clone()) };
    }

    /// Handles an acknowledgement: the receiver has stored these readings.
    pub(super) fn ack(&mut self, boot: &Name, seqs: SeqRange) {
        // The receiver may acknowledge each batch of a page separately.
        if let Some(acked) = self.spool.acknowledge(boot, seqs) {
            self.answered(boot, acked, |_| true);
        }
    }

    /// Handles a refusal: the receiver cannot store these readings now. Returns how many of them had been sent.
    pub(super) fn refuse(&mut self, boot: &Name, seqs: SeqRange, limit: Limit) -> u64 {
        let mut refusals = std::mem::take(&mut self.refusals);
        let mut count = 0;
        self.answered(boot, seqs, |sent| {
            count += sent.last - sent.first + 1;
            refusals.add(boot, sent, limit)
        });
        self.refusals = refusals;
        count
    }

    /// Returns how many readings the receiver cannot keep, and why; `None` if it keeps all.
    pub(super) fn refusal_text(&self) -> Option<String> {
        self.refusals.text()
    }

    /// Removes an answer from the messages in flight, as far as `take` agrees.
    fn answered(&mut self, boot: &Name, answer: SeqRange, mut take: impl FnMut(SeqRange) -> bool) {
        let now = Instant::now();
        let window = &mut self.window;
        self.in_flight.retain_mut(|sent| {
            let common = SeqRange::new(answer.first.max(sent.seqs.first), answer.last.min(sent.seqs.last));
            if sent.boot != *boot || common.is_empty() || !take(common) {
                return true;
            }
            if common.first == sent.seqs.first {
                sent.seqs.first = common.last + 1;
            } else if common.last == sent.seqs.last {
                sent.seqs.last = common.first - 1;
            }
            let is_done = sent.seqs.is_empty();
            if let Some(bytes) = sent.page_bytes.filter(|_| is_done) {
                window.acknowledged(bytes, now - sent.at, now);
            }
            !is_done
        });
    }

    /// Records that live readings were sent.
    pub(super) fn live_was_sent(&mut self, boot: &Name, seqs: SeqRange) {
        self.remember(Sent { boot: boot.clone(), seqs, at: Instant::now(), page_bytes: None });
    }

    /// Records that the link skipped readings, which are in the spool now.
    pub(super) fn expect_more(&mut self) {
        self.may_have_more = true;
    }

    /// The next page, if the congestion window has room for it.
    pub(super) fn message(&mut self, agent: &Name, synchronised: bool) -> Option<Message> {
        self.poll_page();
        let page = self.page.as_ref().filter(|page| self.window.has_room(page.size()))?;
        Some(Message::backlog(agent, page.boot(), page.batches(synchronised)))
    }

    /// Records that the page was sent.
    pub(super) fn page_was_sent(&mut self) {
        let Some(page) = self.page.take() else { return };
        let Some(seqs) = page.seqs() else { return };
        let bytes = page.size();
        self.window.sent(bytes);
        self.remember(Sent { boot: page.boot().clone(), seqs, at: Instant::now(), page_bytes: Some(bytes) });
        self.may_have_more = true;
    }

    /// Waits until a page may be ready to send.
    async fn ready(&mut self) {
        self.poll_page();
        if self.page.as_ref().is_some_and(|page| self.window.has_room(page.size())) {
            return;
        }
        let overdue = self.in_flight.front().filter(|_| self.acks()).map(|sent| sent.at + ACK_TIMEOUT);
        let deadline = overdue.into_iter().chain(self.refusals.retry_at()).min();
        let timed_out = async { if let Some(at) = deadline { sleep_until(at.into()).await } else { pending().await } };
        let delivered = async {
            match &mut self.requested {
                Some(requested) => requested.await.ok(),
                None => pending().await,
            }
        };
        tokio::select! {
            page = delivered => {
                self.requested = None;
                self.set_page(page);
            }
            () = timed_out => self.expire(),
        }
    }

    /// Receives the requested page if it is ready, and requests the next one if needed.
    fn poll_page(&mut self) {
        if let Some(requested) = &mut self.requested {
            match requested.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return,
                page => {
                    self.requested = None;
                    self.set_page(page.ok());
                }
            }
        }
        if self.acks() && self.may_have_more && self.page.is_none() {
            self.may_have_more = false;
            self.requested = Some(self.spool.request_page());
        }
    }

    /// Keeps a page to send; an empty one means that the receiver lacks nothing.
    fn set_page(&mut self, page: Option<Page>) {
        self.page = page.filter(|page| page.seqs().is_some());
    }

    fn remember(&mut self, sent: Sent) {
        if self.in_flight.len() == MAX_IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
            && self.acks()
        {
            self.release(&oldest);
        }
        self.in_flight.push_back(sent);
    }

    /// Releases messages whose answer is overdue, and refused readings after their delay, so that the spool delivers them
    /// again.
    fn expire(&mut self) {
        for (boot, seqs) in self.refusals.take_due(Instant::now()) {
            self.spool.release(&boot, seqs);
            self.may_have_more = true;
        }
        while let Some(sent) = self.in_flight.pop_front_if(|sent| sent.at.elapsed() >= ACK_TIMEOUT) {
            self.release(&sent);
        }
    }

    fn release(&mut self, sent: &Sent) {
        self.spool.release(&sent.boot, sent.seqs);
        if let Some(bytes) = sent.page_bytes {
            self.window.lost(bytes);
        }
        self.may_have_more = true;
    }
}

/// Waits until a page may be ready to send; forever on a link without a spool.
pub(super) async fn backlog_ready(backlog: Option<&mut Backlog>) {
    match backlog {
        Some(backlog) => backlog.ready().await,
        None => pending().await,
    }
}
