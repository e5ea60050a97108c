//! What a link's receiver lacks of the spool, and what it has not acknowledged yet.

use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::drain::Drain;
use crate::agent::spool::{Page, SpoolHandle};
use crate::name::Name;
use crate::ranges::SeqRange;
use crate::wire::Message;

/// What is not acknowledged after so long is sent again.
const LOST: Duration = Duration::from_secs(10);

/// Messages that are remembered until they are acknowledged.
const MOST: usize = 4096;

/// One link's.
#[derive(Debug)]
pub struct Backlog {
    spool: SpoolHandle,
    /// Whether who is there now acknowledges readings, once it has said so.
    acks: Option<bool>,
    /// Who was there last did.
    did_ack: bool,
    /// There may be something that the receiver lacks.
    lacks: bool,
    asked: Option<oneshot::Receiver<Page>>,
    page: Option<Page>,
    on_its_way: VecDeque<Sent>,
    drain: Drain,
}

/// A message that is not acknowledged yet.
#[derive(Debug)]
struct Sent {
    boot: Name,
    seqs: SeqRange,
    at: Instant,
    /// Bytes of a page; none of readings that were sent as they came.
    page: Option<usize>,
}

impl Backlog {
    /// Of a link that the spool keeps for.
    #[must_use]
    pub fn new(spool: SpoolHandle) -> Backlog {
        Backlog {
            spool,
            acks: None,
            did_ack: false,
            lacks: false,
            asked: None,
            page: None,
            on_its_way: VecDeque::new(),
            drain: Drain::default(),
        }
    }

    /// The receiver says that it acknowledges readings, or that it does not.
    pub(super) fn hello(&mut self, acks: bool) {
        self.lacks |= acks && !self.acks();
        (self.acks, self.did_ack) = (Some(acks), acks);
    }

    /// Who is there now says that it does not keep what it is sent.
    pub(super) fn is_unkept(&self) -> bool {
        self.acks == Some(false)
    }

    fn acks(&self) -> bool {
        self.acks == Some(true)
    }

    /// Readings that had to wait can be had from here, too, and later.
    pub(super) fn has_all(&self) -> bool {
        self.did_ack
    }

    /// Whoever is there now is somebody else, or has not got what was on its way.
    pub(super) fn begin_anew(&mut self) {
        self.spool.reset_in_flight();
        *self = Backlog { did_ack: self.did_ack, ..Backlog::new(self.spool.clone()) };
    }

    /// The receiver has these for good.
    pub(super) fn ack(&mut self, boot: &Name, seqs: SeqRange) {
        // A page has several batches, and each may be acknowledged for itself.
        let Some(acked) = self.spool.acknowledge(boot, seqs) else { return };
        let now = Instant::now();
        let drain = &mut self.drain;
        self.on_its_way.retain(|sent| {
            let is_there = sent.boot == *boot && acked.contains(sent.seqs);
            if let Some(bytes) = sent.page.filter(|_| is_there) {
                drain.arrived(bytes, now - sent.at, now);
            }
            !is_there
        });
    }

    /// Readings were sent as they came.
    pub(super) fn live_was_sent(&mut self, boot: &Name, seqs: SeqRange) {
        self.remember(Sent { boot: boot.clone(), seqs, at: Instant::now(), page: None });
    }

    /// Some did not come by themselves.
    pub(super) fn missed(&mut self) {
        self.lacks = true;
    }

    /// The next page, if it may go.
    pub(super) fn message(&mut self, agent: &Name, synchronised: bool) -> Option<Message> {
        self.take_page();
        let page = self.page.as_ref().filter(|page| self.drain.is_open(page.size()))?;
        Some(Message::backlog(agent, page.boot(), page.batches(synchronised)))
    }

    /// It is off.
    pub(super) fn page_was_sent(&mut self) {
        let Some(page) = self.page.take() else { return };
        let Some(seqs) = page.seqs() else { return };
        let bytes = page.size();
        self.drain.sent(bytes);
        self.remember(Sent { boot: page.boot().clone(), seqs, at: Instant::now(), page: Some(bytes) });
        self.lacks = true;
    }

    /// Waits until there may be a page to be sent.
    pub(super) async fn ready(&mut self) {
        self.take_page();
        if self.page.as_ref().is_some_and(|page| self.drain.is_open(page.size())) {
            return;
        }
        let lost = self.on_its_way.front().filter(|_| self.acks()).map(|sent| sent.at + LOST);
        let lost = async { if let Some(at) = lost { sleep_until(at.into()).await } else { pending().await } };
        let asked = async {
            match &mut self.asked {
                Some(asked) => asked.await.ok(),
                None => pending().await,
            }
        };
        tokio::select! {
            page = asked => {
                self.asked = None;
                self.take(page);
            }
            () = lost => self.expire(),
        }
    }

    /// Takes in what was asked for, and asks for more.
    fn take_page(&mut self) {
        if let Some(asked) = &mut self.asked {
            match asked.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return,
                page => {
                    self.asked = None;
                    self.take(page.ok());
                }
            }
        }
        if self.acks() && self.lacks && self.page.is_none() {
            self.lacks = false;
            self.asked = Some(self.spool.request_page());
        }
    }

    fn take(&mut self, page: Option<Page>) {
        self.page = page.filter(|page| page.seqs().is_some());
    }

    fn remember(&mut self, sent: Sent) {
        if self.on_its_way.len() == MOST
            && let Some(oldest) = self.on_its_way.pop_front()
            && self.acks()
        {
            self.give_back(&oldest);
        }
        self.on_its_way.push_back(sent);
    }

    fn expire(&mut self) {
        while let Some(sent) = self.on_its_way.pop_front_if(|sent| sent.at.elapsed() >= LOST) {
            self.give_back(&sent);
        }
    }

    fn give_back(&mut self, sent: &Sent) {
        self.spool.release(&sent.boot, sent.seqs);
        if let Some(bytes) = sent.page {
            self.drain.lost(bytes);
        }
        self.lacks = true;
    }
}
