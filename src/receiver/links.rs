//! The receiver's links: which there are, as the configuration says and as it changes.

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tracing::info;

use super::commands::Commands;
use super::history::History;
use super::intake::{Intake, opened};
use super::link_stats::LinkStats;
use super::options;
use super::recorder::Recorder;
use super::wall::Wall;
use crate::config::Inlet;
use crate::link::Link;
use crate::service::Heartbeat;
use crate::wire::Totals;
use crate::workers::{Changes, WorkerSet};

pub(super) struct Links<'a> {
    pub(super) workers: WorkerSet<Inlet, LinkStats, Result<Totals>>,
    /// Told of which links there are.
    pub(super) counts: watch::Sender<Vec<LinkStats>>,
    pub(super) wall: watch::Sender<Wall>,
    /// Who wants each message's header as a line.
    pub(super) headers: Option<mpsc::Sender<String>>,
    pub(super) history: Option<&'a History>,
    pub(super) recorder: Option<&'a Recorder>,
    pub(super) commands: Commands,
}

impl Links<'_> {
    /// Begins with links that are open.
    pub(super) fn begin(&mut self, links: Vec<(Inlet, Link)>) {
        for (inlet, link) in links {
            let counts = LinkStats::of(link.address());
            let intake = self.intake(&inlet, &counts);
            self.workers.start(inlet, counts, |stop| intake.run(link, stop));
        }
        self.tell();
    }

    /// Does what a new configuration says: one that is new begins as soon as it can be opened, one that is gone ends, others
    /// go on.
    pub(super) async fn follow(&mut self, inlets: &[Inlet]) -> Result<()> {
        let Changes { new, ended } = self.workers.keep(inlets).await?;
        let (begun, gone) = (new.len(), ended.len());
        for inlet in new {
            let counts = LinkStats::of(inlet.end.address().as_str());
            counts.closed(true);
            let (intake, options) = (self.intake(&inlet, &counts), options(&inlet));
            let told = (inlet.format, inlet.secrecy());
            self.workers.start(inlet, counts.clone(), |stop| async move {
                let Some(link) = stop.run_until_cancelled(opened(options)).await else { return Ok(Totals::default()) };
                info!("link {}: open, format {}{}", link.address(), told.0, told.1);
                counts.closed(false);
                intake.run(link, stop).await
            });
        }
        self.workers.arrange(inlets);
        self.tell();
        info!("the new configuration is taken; links that ended: {gone}, began: {begun}");
        // What came over a link that is gone counts no more; the page's own count is of what is there.
        ended.into_iter().try_for_each(|link| link.output.map(drop))
    }

    /// The threads that they hand things to.
    pub(super) fn heartbeats(&self) -> impl Iterator<Item = &Heartbeat> {
        let recorders = self.recorder.into_iter().flat_map(Recorder::heartbeats);
        self.history.into_iter().map(History::heartbeat).chain(recorders)
    }

    fn intake(&self, inlet: &Inlet, counts: &LinkStats) -> Intake {
        Intake {
            inlet: inlet.clone(),
            wall: self.wall.clone(),
            lines: self.headers.clone(),
            history: self.history.map(History::feed),
            recorder: self.recorder.map(Recorder::feed),
            desk: self.commands.desk(),
            counts: counts.clone(),
        }
    }

    fn tell(&self) {
        self.counts.send_replace(self.workers.handles().cloned().collect());
    }
}
