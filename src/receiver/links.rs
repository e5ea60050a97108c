//! The receiver's links, as the configuration lists them.

use anyhow::Result;
use tracing::info;

use super::history::History;
use super::intake::{Intake, reopen};
use super::link_options;
use super::link_stats::LinkStats;
use super::recorder::Recorder;
use super::running::Running;
use crate::config::Inlet;
use crate::link::Link;
use crate::wire::Totals;
use crate::workers::Changes;

impl Running {
    /// Starts the tasks of open links.
    pub(super) fn start_links(&mut self, links: Vec<(Inlet, Link)>) {
        for (inlet, link) in links {
            let stats = LinkStats::of(link.address());
            let intake = self.intake(&inlet, &stats);
            self.links.start(inlet, stats, |stop| intake.run(link, stop));
        }
        self.publish_links();
    }

    /// Applies a changed list of links: opens added ones as soon as it can, ends removed ones, and leaves the others alone.
    pub(super) async fn follow(&mut self, inlets: &[Inlet]) -> Result<()> {
        let Changes { new, ended } = self.links.keep(inlets).await?;
        let (started, stopped) = (new.len(), ended.len());
        for inlet in new {
            let stats = LinkStats::of(inlet.end.address().as_str());
            stats.closed(true);
            let (intake, options) = (self.intake(&inlet, &stats), link_options(&inlet));
            let (format, secrecy) = (inlet.format, inlet.secrecy());
            self.links.start(inlet, stats.clone(), |stop| async move {
                let Some(link) = stop.run_until_cancelled(reopen(options)).await else { return Ok(Totals::default()) };
                info!("link {}: open, format {format}{secrecy}", link.address());
                stats.closed(false);
                intake.run(link, stop).await
            });
        }
        self.links.arrange(inlets);
        self.publish_links();
        info!("configuration reloaded; links stopped: {stopped}, started: {started}");
        // Totals of stopped links are dropped: the page counts only links that exist.
        ended.into_iter().try_for_each(|link| link.output.map(drop))
    }

    fn intake(&self, inlet: &Inlet, stats: &LinkStats) -> Intake {
        Intake {
            inlet: inlet.clone(),
            wall: self.wall.clone(),
            lines: self.headers.clone(),
            history: self.history.as_ref().map(History::feed),
            recorder: self.recorder.as_ref().map(Recorder::feed),
            inbox: self.site.commands.inbox(),
            owners: self.owners.for_link(),
            refused: self.site.refused.clone(),
            stats: stats.clone(),
            budget: self.site.budget.clone(),
            max_agents: self.config.limits.agents,
            quotas: self.site.quotas.clone(),
        }
    }

    fn publish_links(&self) {
        self.link_stats.send_replace(self.links.handles().cloned().collect());
    }
}
