//! The links that the spool keeps readings for: configured ones, and those that only the file still has.

use std::collections::BTreeMap;

use tracing::warn;

use super::progress::LinkProgress;
use super::row::{AckRow, Start};
use crate::name::Name;
use crate::ranges::{Ranges, SeqRange};

/// The progress of each link.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// By the link's id, which no other link gets while the agent runs.
    progress: BTreeMap<usize, LinkProgress>,
    next_id: usize,
}

impl Links {
    /// Adds a link of the configuration, or continues one that had left it; returns its id.
    pub(super) fn configure(&mut self, link: &str) -> usize {
        let known = self.progress.iter().find(|(_, progress)| !progress.is_configured && progress.link == link);
        let known = known.map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| self.add(link.to_owned()));
        let progress = self.get_mut(id);
        progress.is_configured = true;
        progress.reset_in_flight();
        id
    }

    fn add(&mut self, link: String) -> usize {
        let id = self.next_id;
        self.next_id += 1;
        self.progress.insert(id, LinkProgress::new(link));
        id
    }

    pub(super) fn contains(&self, id: usize) -> bool {
        self.progress.contains_key(&id)
    }

    pub(super) fn get(&self, id: usize) -> &LinkProgress {
        &self.progress[&id]
    }

    pub(super) fn get_mut(&mut self, id: usize) -> &mut LinkProgress {
        self.progress.get_mut(&id).expect("a link that is in use has its progress")
    }

    /// The readings of an agent start that every link has acknowledged.
    pub(super) fn acked_by_all(&self, boot: &Name) -> Ranges {
        let mut acked = self.progress.values().map(|progress| progress.acked(boot));
        let first = acked.next().unwrap_or_default();
        acked.fold(first, |common, acked| common.intersection(&acked))
    }

    /// The numbers among `seqs` of an agent start that every link has, or has in flight or in its feed. The feed has none
    /// before `live_from`, and none of an earlier agent start.
    pub(super) fn may_yet_have(&self, boot: &Name, seqs: &Ranges, live_from: Option<u64>) -> Ranges {
        let mut waiting = seqs.clone();
        for progress in self.progress.values() {
            waiting = progress.may_yet_have(boot, &waiting, live_from);
        }
        waiting
    }

    /// Counts lost readings of an agent start as handled for every link.
    pub(super) fn settle(&mut self, boot: &Name, lost: &Ranges) {
        for progress in self.progress.values_mut() {
            lost.iter().for_each(|seqs| progress.restore(boot, seqs));
        }
    }

    /// Whether every link has acknowledged all of `seqs`.
    pub(super) fn all_have(&self, boot: &Name, seqs: SeqRange) -> bool {
        self.progress.values().all(|progress| progress.has(boot, seqs))
    }

    /// The readings of an agent start that each link has acknowledged. Empty with a single link: the readings that it
    /// has acknowledged are not in the file.
    pub(super) fn acks_to_save(&self, boot: &Name) -> Vec<(String, Ranges)> {
        let several = self.progress.values().filter(|_| self.progress.len() > 1);
        several.map(|progress| (progress.link.clone(), progress.acked(boot))).collect()
    }

    /// The links that have to be added to a file with the links `on_disk`.
    pub(super) fn missing_from(&self, on_disk: &[String]) -> Vec<String> {
        let kept = self.progress.values().filter(|progress| progress.is_configured || !progress.is_on_disk);
        kept.map(|progress| progress.link.clone()).filter(|link| !on_disk.contains(link)).collect()
    }

    /// Records that the file has these links.
    pub(super) fn mark_on_disk(&mut self, links: &[String]) {
        for progress in self.progress.values_mut() {
            progress.is_on_disk |= links.contains(&progress.link);
        }
    }

    /// Takes over the links and acknowledgements of a file that was just opened.
    pub(super) fn restore(&mut self, on_disk: &[String], acks: &[AckRow], starts: &BTreeMap<i64, Start>) {
        for link in on_disk {
            if self.progress.values().all(|progress| progress.link != *link) {
                warn_about_unconfigured(link);
                self.add(link.clone());
            }
        }
        // It may be a new file: a link that is missing from it was not forgotten.
        for progress in self.progress.values_mut() {
            progress.is_on_disk = on_disk.contains(&progress.link);
        }
        for AckRow { link, start, seqs } in acks {
            let progress = self.progress.values_mut().find(|progress| progress.link == *link);
            if let (Some(progress), Some(start)) = (progress, starts.get(start)) {
                progress.restore(&start.boot, *seqs);
            }
        }
    }

    /// Removes unconfigured links that `watchpost spool --forget` removed from the file; returns true if there were
    /// any.
    pub(super) fn remove_forgotten(&mut self, on_disk: &[String]) -> bool {
        let before = self.progress.len();
        self.progress
            .retain(|_, progress| progress.is_configured || !progress.is_on_disk || on_disk.contains(&progress.link));
        self.progress.len() < before
    }

    /// Makes every link read the file from the first row: rows were moved or renumbered.
    pub(super) fn reset_cursors(&mut self) {
        self.progress.values_mut().for_each(LinkProgress::reset_cursor);
    }

    /// Drops the acknowledgements of agent starts for which `is_kept` is false.
    pub(super) fn retain_starts(&mut self, is_kept: impl Fn(&Name) -> bool) {
        self.progress.values_mut().for_each(|progress| progress.retain_starts(&is_kept));
    }

    pub(super) fn has_unconfigured(&self) -> bool {
        self.progress.values().any(|progress| !progress.is_configured)
    }

    /// Logs a warning for each link that is not configured.
    pub(super) fn warn_about_unconfigured(&self) {
        let unconfigured = self.progress.values().filter(|progress| !progress.is_configured);
        unconfigured.for_each(|progress| warn_about_unconfigured(&progress.link));
    }
}

fn warn_about_unconfigured(link: &str) {
    warn!(
        "spool still keeps readings for {link}, which is no longer configured; \
         run `watchpost spool --forget {link}` to drop them"
    );
}
