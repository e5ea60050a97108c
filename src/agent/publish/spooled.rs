//! What a link sends of the spool, beside what it sends as it comes.

use anyhow::Result;

use super::backlog::Backlog;
use super::{Pending, Publisher};
use crate::link::Link;

impl Publisher {
    /// Sends what the receiver lacks next of the spool.
    pub(super) fn send_page(&mut self, link: &mut Link, pending: &mut Pending) -> Result<bool> {
        let synchronised = self.state.clock.is_synchronised();
        let Some(backlog) = &mut self.backlog else { return Ok(false) };
        let Some(message) = backlog.message(&self.agent, synchronised) else { return Ok(false) };
        let sent = self.send(link, &message, pending)?;
        if let Some(backlog) = self.backlog.as_mut().filter(|_| sent) {
            backlog.page_was_sent();
        }
        pending.page_was_last = sent;
        Ok(sent)
    }

    /// Leaves to the backlog what would make live readings late.
    pub(super) fn catch_up(&mut self) {
        let Some(backlog) = &mut self.backlog else { return };
        if backlog.has_all() && self.readings.is_behind() {
            let (feed, last) = self.state.follow();
            self.readings.skip(feed, last);
        }
        if self.readings.missed() {
            backlog.missed();
        }
    }

    /// Whoever is there now has nothing of what was on its way.
    pub(super) fn begin_anew(&mut self) {
        let Some(backlog) = &mut self.backlog else { return };
        backlog.begin_anew();
        if backlog.has_all() {
            let (feed, last) = self.state.follow();
            self.readings.skip(feed, last);
        }
    }
}

/// Waits until there may be a page to be sent; without a spool for ever.
pub(super) async fn more(backlog: Option<&mut Backlog>) {
    match backlog {
        Some(backlog) => backlog.ready().await,
        None => std::future::pending().await,
    }
}
