//! Chooses a link's next message and sends it.

use std::sync::Arc;

use anyhow::Result;

use super::session::Session;
use crate::link::MAX_PART_BYTES;
use crate::ranges::SeqRange;
use crate::wire::{Encoded, Message, encode};

impl Session {
    /// Sends the next message, if there is one; returns whether it did. `now` sends readings without waiting for more.
    pub(super) fn send_next(&mut self, now: bool) -> Result<bool> {
        self.catch_up();
        if let Some(sent) = self.send_readings(now)? {
            return Ok(sent);
        }
        if self.has_new_status {
            return self.send_status();
        }
        if let Some(down) = self.next_down() {
            return self.send_no_signal(down);
        }
        // Pages and frames take turns, so that neither delays the other.
        let page_first = !std::mem::take(&mut self.page_was_last);
        if page_first && self.send_page()? || self.send_frame()? {
            return Ok(true);
        }
        Ok(!page_first && self.send_page()?)
    }

    /// Sends live readings; returns whether the socket took them, or `None` without readings to send.
    fn send_readings(&mut self, now: bool) -> Result<Option<bool>> {
        let inputs = &mut self.inputs;
        let Some(batches) = inputs.readings.message(now) else { return Ok(None) };
        let seqs = SeqRange::new(batches[0].seq, batches[batches.len() - 1].last_seq());
        let message = Message::readings(&inputs.agent, &inputs.boot, &inputs.state.clock, batches);
        let sent = self.send(&message)?;
        if sent {
            self.inputs.readings.mark_sent();
            if let Some(backlog) = &mut self.inputs.backlog {
                backlog.live_was_sent(&self.inputs.boot, seqs);
            }
        }
        Ok(Some(sent))
    }

    fn send_status(&mut self) -> Result<bool> {
        let status = Arc::clone(&self.inputs.status.borrow_and_update());
        let message = Message::status(&status, &self.inputs.state.current());
        let sent = self.send(&message)?;
        self.has_new_status = !sent;
        Ok(sent)
    }

    /// Sends the next page of the backlog, if it may be sent now.
    fn send_page(&mut self) -> Result<bool> {
        let synchronised = self.inputs.state.clock.is_synchronised();
        let Some(backlog) = &mut self.inputs.backlog else { return Ok(false) };
        let Some(message) = backlog.message(&self.inputs.agent, synchronised) else { return Ok(false) };
        let sent = self.send(&message)?;
        if let Some(backlog) = self.inputs.backlog.as_mut().filter(|_| sent) {
            backlog.page_was_sent();
        }
        self.page_was_last = sent;
        Ok(sent)
    }

    /// Leaves waiting readings to the backlog when they would delay live ones.
    fn catch_up(&mut self) {
        let inputs = &mut self.inputs;
        let Some(backlog) = &mut inputs.backlog else { return };
        if backlog.can_resend() && inputs.readings.is_behind() {
            let (feed, last) = inputs.state.follow();
            inputs.readings.skip(feed, last);
        }
        if inputs.readings.take_gap() {
            backlog.expect_more();
        }
    }

    /// Starts over for a peer that has received no unacknowledged message.
    pub(super) fn reset_backlog(&mut self) {
        let inputs = &mut self.inputs;
        let Some(backlog) = &mut inputs.backlog else { return };
        backlog.reset();
        if backlog.can_resend() {
            let (feed, last) = inputs.state.follow();
            inputs.readings.skip(feed, last);
        }
    }

    /// Sends a message; false if the socket does not take it now. A message that the link can never carry is dropped and
    /// counts as sent.
    pub(super) fn send(&mut self, message: &Message) -> Result<bool> {
        let Some(Encoded { parts, readings_left_out }) = encode(self.outlet.format, message) else { return Ok(true) };
        if parts.iter().any(|part| part.len() > MAX_PART_BYTES) {
            self.health.count("messages_too_large", 1);
            return Ok(true);
        }
        let sent = self.link.try_send(&parts)?;
        if sent {
            self.totals.add(message);
            self.peer.message_was_sent();
            self.count(message);
            self.note_left_out(message, readings_left_out);
        }
        Ok(sent)
    }

    /// Reports readings that did not fit into a header. The readings themselves are sent in any case.
    fn note_left_out(&mut self, message: &Message, readings: u64) {
        if !matches!(message, Message::Readings(_)) {
            self.leaves_out_readings = readings > 0;
        }
        if readings > 0 {
            self.health.count("readings_left_out", readings);
        }
    }

    fn count(&self, message: &Message) {
        match message {
            Message::Frame(header, _) if header.no_signal.is_some() => self.health.count("placeholders_sent", 1),
            Message::Frame(..) => self.health.count("frames_sent", 1),
            Message::Readings(readings) if readings.backlog => {
                self.health.count("backlog_readings_sent", readings.count());
            }
            Message::Readings(readings) => self.health.count("readings_sent", readings.count()),
            Message::Status(_) => {}
        }
    }
}
