//! The receiver's links: which there are, as the configuration says and as it changes.

use anyhow::Result;
use tokio::sync::{mpsc, watch};
use tracing::info;

use super::commands::Commands;
use super::counts::LinkCounts;
use super::history::History;
use super::intake::{Intake, opened};
use super::opening;
use super::recorder::Recorder;
use super::wall::Wall;
use crate::config::Inlet;
use crate::crew::{Crew, Kept};
use crate::link::Link;
use crate::service::Life;
use crate::wire::Tally;

pub(super) struct Links<'a> {
    pub(super) crew: Crew<Inlet, LinkCounts, Result<Tally>>,
    /// Told of which links there are.
    pub(super) counts: watch::Sender<Vec<LinkCounts>>,
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
            let counts = LinkCounts::of(link.address());
            let intake = self.intake(&inlet, &counts);
            self.crew.start(inlet, counts, |stop| intake.run(link, stop));
        }
        self.tell();
    }

    /// Does what a new configuration says: one that is new begins as soon as it can be opened, one that is gone ends, others
    /// go on.
    pub(super) async fn follow(&mut self, inlets: &[Inlet]) -> Result<()> {
        let Kept { new, ended } = self.crew.keep(inlets).await?;
        let (begun, gone) = (new.len(), ended.len());
        for inlet in new {
            let counts = LinkCounts::of(inlet.end.address().as_str());
            counts.closed(true);
            let (intake, opening) = (self.intake(&inlet, &counts), opening(&inlet));
            let told = (inlet.format, inlet.secrecy());
            self.crew.start(inlet, counts.clone(), |stop| async move {
                let Some(link) = stop.run_until_cancelled(opened(opening)).await else { return Ok(Tally::default()) };
                info!("link {}: open, format {}{}", link.address(), told.0, told.1);
                counts.closed(false);
                intake.run(link, stop).await
            });
        }
        self.crew.arrange(inlets);
        self.tell();
        info!("the new configuration is taken; links that ended: {gone}, began: {begun}");
        // What came over a link that is gone counts no more; the page's own count is of what is there.
        ended.into_iter().try_for_each(|link| link.output.map(drop))
    }

    /// The threads that they hand things to.
    pub(super) fn lives(&self) -> impl Iterator<Item = &Life> {
        let recorders = self.recorder.into_iter().flat_map(Recorder::lives);
        self.history.into_iter().map(History::life).chain(recorders)
    }

    fn intake(&self, inlet: &Inlet, counts: &LinkCounts) -> Intake {
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
        self.counts.send_replace(self.crew.holds().cloned().collect());
    }
}
