//! What a configuration says is done, at the start and when it changes: what it says anew begins, what it no longer says
//! ends, and what did not change is not interrupted.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;

use super::camera::Camera;
use super::health::{Kind, Part};
use super::publish::{Backlog, Gathered, Publisher, View, Views};
use super::serial::Port;
use super::spool::SpoolHandle;
use super::{Agent, CameraWorker, LinkWorker};
use crate::config::{self, OutPattern, Outlet};
use crate::name::Name;
use crate::service::Heartbeat;
use crate::wire::Settings;

/// The parts that ended and began with a new configuration.
pub(super) struct Changed {
    pub(super) ended: Vec<String>,
    pub(super) begun: Vec<String>,
}

impl Agent {
    /// Does what a configuration says: what it says anew begins, what it no longer says ends, all else goes on.
    pub(super) async fn follow(&mut self, config: config::Agent) -> Result<Changed> {
        let ports: Vec<_> = config.serial.iter().map(|port| (port.clone(), config.quantities.clone())).collect();
        let links: Vec<_> = config.links.iter().map(|link| Outlet { cameras: Vec::new(), ..link.clone() }).collect();

        // Sources first, links last: what was captured until now is still sent. And devices are free for others.
        let old_cameras = self.cameras.keep(&config.cameras).await?;
        let old_ports = self.ports.keep(&ports).await?;
        let old_links = self.links.keep(&links).await?;
        let ended = old_cameras.ended.iter().map(|camera| camera.handle.health.title());
        let ended = ended.chain(old_ports.ended.iter().map(|port| port.handle.title()));
        let ended = ended.chain(old_links.ended.iter().map(|link| link.handle.health.title())).collect();
        for port in &old_ports.ended {
            self.state.forget(port.handle.name());
        }
        for link in old_links.ended {
            self.sent.merge(link.output);
            link.handle.spool.iter().for_each(SpoolHandle::unconfigure);
        }

        let mut begun = Vec::new();
        for link in old_links.new {
            begun.push(self.start_link(link, &config).title());
        }
        for camera in old_cameras.new {
            let before = old_cameras.ended.iter().find(|before| before.config.name == camera.name);
            let as_set = before.map(|before| (&before.config, before.handle.view.demand.settings()));
            begun.push(self.start_camera(camera, as_set).title());
        }
        for port in old_ports.new {
            begun.push(self.start_port(port).title());
        }
        self.cameras.arrange(&config.cameras);
        self.ports.arrange(&ports);
        self.links.arrange(&links);
        for (link, outlet) in self.links.handles().zip(&config.links) {
            let views = self.cameras.handles().map(|camera| &camera.view);
            link.views.send_replace(views.filter(|view| outlet.cameras.contains(&view.name)).cloned().collect());
        }
        self.config = config;
        Ok(Changed { ended, begun })
    }

    /// What a receiver has set of it stays so, as far as the file says what it said `before`.
    fn start_camera(&mut self, config: config::Camera, before: Option<(&config::Camera, Settings)>) -> Part {
        let health = Part::new(Kind::Camera, config.name.clone(), config.source.to_string(), &self.news);
        let view = Arc::new(View::of(&config, self.bell.slot()));
        if let Some((before, set)) = before {
            let on = (before.on == config.on).then_some(set.on);
            let fps = (before.fps == config.fps).then_some(set.fps);
            let quality = (before.quality == config.quality).then_some(set.quality);
            // It may be so already.
            let _ = view.demand.set(on, fps, quality);
        }
        let camera = Camera {
            config: config.clone(),
            slot: view.slot.clone(),
            health: health.clone(),
            demand: view.demand.follow(),
            frames: Arc::clone(self.frames.entry(config.name.clone()).or_default()),
            heartbeat: Heartbeat::of(format!("the thread of camera {}", config.name)),
        };
        let heartbeat = camera.heartbeat.clone();
        self.cameras.start(config, CameraWorker { health: health.clone(), view, heartbeat }, |stop| camera.run(stop));
        health
    }

    fn start_port(&mut self, (config, quantities): (config::Serial, Vec<config::Quantity>)) -> Part {
        let health = Part::new(Kind::Port, config.name.clone(), config.port.display().to_string(), &self.news);
        let port = Port {
            config: config.clone(),
            quantities: quantities.clone(),
            state: Arc::clone(&self.state),
            health: health.clone(),
        };
        self.ports.start((config, quantities), health.clone(), |stop| port.run(stop));
        health
    }

    fn start_link(&mut self, outlet: Outlet, config: &config::Agent) -> Part {
        self.last_link += 1;
        let name = Name::nearest(&format!("{:?}-{}", outlet.pattern, self.last_link).to_lowercase());
        let address = outlet.end.address().to_string();
        let health = Part::new(Kind::Link, name, format!("{address}{}", outlet.secrecy()), &self.news);
        let keeper = self.spool.as_ref().filter(|_| outlet.is_acknowledged());
        let kept = keeper.map(|(spool, _)| spool.add_link(&address));
        let (feed, last) = self.state.follow();
        // A pub link begins with its first subscriber.
        let heard = (outlet.pattern != OutPattern::Pub).then_some(last);
        let (views, followed) = watch::channel(Views::default());
        let publisher = Publisher {
            number: self.last_link,
            agent: config.name.clone(),
            boot: self.boot.clone(),
            outlet: outlet.clone(),
            views: followed,
            state: Arc::clone(&self.state),
            readings: Gathered::new(feed, heard, health.clone(), kept.clone()),
            backlog: kept.clone().map(Backlog::new),
            frames: self.bell.follow(),
            status: self.status.subscribe(),
            health: health.clone(),
        };
        let worker = LinkWorker { health: health.clone(), views, spool: kept };
        self.links.start(outlet, worker, |stop| publisher.run(stop));
        health
    }
}
