//! Applies a configuration, at the start and on a reload: starts added parts, stops removed ones, and leaves unchanged ones
//! running.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;

use super::camera::Camera;
use super::health::{Kind, Part};
use super::publish::{Backlog, Inputs, LiveReadings, Session, SharedCamera, SharedCameras};
use super::serial::Port;
use super::spool::SpoolHandle;
use super::{Agent, CameraWorker, LinkWorker};
use crate::config::{self, OutPattern, Outlet};
use crate::name::Name;
use crate::service::Heartbeat;
use crate::wire::Settings;

/// The titles of the parts that a new configuration stopped and started.
pub(super) struct Applied {
    pub(super) stopped: Vec<String>,
    pub(super) started: Vec<String>,
}

impl Agent {
    /// Starts added parts and stops removed ones; unchanged parts keep running.
    pub(super) async fn apply(&mut self, config: config::Agent) -> Result<Applied> {
        let ports: Vec<_> = config.serial.iter().map(|port| (port.clone(), config.quantities.clone())).collect();
        let links: Vec<_> = config.links.iter().map(|link| Outlet { cameras: Vec::new(), ..link.clone() }).collect();

        // Stop sources before links, so that links still send what was captured, and before new sources need the devices.
        let old_cameras = self.cameras.keep(&config.cameras).await?;
        let old_ports = self.ports.keep(&ports).await?;
        let old_links = self.links.keep(&links).await?;
        let stopped = old_cameras.ended.iter().map(|camera| camera.handle.health.title());
        let stopped = stopped.chain(old_ports.ended.iter().map(|port| port.handle.title()));
        let stopped = stopped.chain(old_links.ended.iter().map(|link| link.handle.health.title())).collect();
        for port in &old_ports.ended {
            self.state.forget(port.handle.name());
        }
        for link in old_links.ended {
            self.sent.merge(link.output);
            link.handle.spool.iter().for_each(SpoolHandle::unconfigure);
        }

        let mut started = Vec::new();
        for link in old_links.new {
            started.push(self.start_link(link, &config).title());
        }
        for camera in old_cameras.new {
            let old = old_cameras.ended.iter().find(|old| old.config.name == camera.name);
            let old = old.map(|old| (&old.config, old.handle.camera.demand.settings()));
            started.push(self.start_camera(camera, old).title());
        }
        for port in old_ports.new {
            started.push(self.start_port(port).title());
        }
        self.cameras.arrange(&config.cameras);
        self.ports.arrange(&ports);
        self.links.arrange(&links);
        for (link, outlet) in self.links.handles().zip(&config.links) {
            let cameras = self.cameras.handles().map(|worker| &worker.camera);
            let carried = cameras.filter(|camera| outlet.cameras.contains(&camera.name));
            link.cameras.send_replace(carried.cloned().collect());
        }
        self.config = config;
        Ok(Applied { stopped, started })
    }

    /// Starts a camera. A setting that a receiver changed stays changed, unless its value in the file differs from the `old`
    /// one.
    fn start_camera(&mut self, config: config::Camera, old: Option<(&config::Camera, Settings)>) -> Part {
        let health = Part::new(Kind::Camera, config.name.clone(), config.source.to_string(), &self.changed);
        let camera = Arc::new(SharedCamera::new(&config, self.frame_notifier.slot()));
        if let Some((old, settings)) = old {
            let on = (old.on == config.on).then_some(settings.on);
            let fps = (old.fps == config.fps).then_some(settings.fps);
            let quality = (old.quality == config.quality).then_some(settings.quality);
            // Nobody needs to know whether this changes anything.
            let _ = camera.demand.set(on, fps, quality);
        }
        let capture = Camera {
            config: config.clone(),
            slot: camera.slot.clone(),
            health: health.clone(),
            demand: camera.demand.follow(),
            frames: Arc::clone(self.frame_counts.entry(config.name.clone()).or_default()),
            heartbeat: Heartbeat::of(format!("the thread of camera {}", config.name)),
        };
        let heartbeat = capture.heartbeat.clone();
        let worker = CameraWorker { health: health.clone(), camera, heartbeat };
        self.cameras.start(config, worker, |stop| capture.run(stop));
        health
    }

    fn start_port(&mut self, (config, quantities): (config::Serial, Vec<config::Quantity>)) -> Part {
        let health = Part::new(Kind::Port, config.name.clone(), config.port.display().to_string(), &self.changed);
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
        self.last_link_number += 1;
        let number = self.last_link_number;
        let name = Name::nearest(&format!("{:?}-{number}", outlet.pattern).to_lowercase());
        let address = outlet.end.address().to_string();
        let health = Part::new(Kind::Link, name, format!("{address}{}", outlet.secrecy()), &self.changed);
        let spool = self.spool.as_ref().filter(|_| outlet.is_acknowledged());
        let spool = spool.map(|(spool, _)| spool.add_link(&address));
        let (cameras, watched_cameras) = watch::channel(SharedCameras::default());
        let inputs = self.link_inputs(config, &outlet, &health, watched_cameras, spool.clone());
        let worker = LinkWorker { health: health.clone(), cameras, spool };
        let reporter = health.clone();
        self.links.start(outlet.clone(), worker, |stop| Session::run(number, outlet, reporter, inputs, stop));
        health
    }

    fn link_inputs(
        &self,
        config: &config::Agent,
        outlet: &Outlet,
        health: &Part,
        cameras: watch::Receiver<SharedCameras>,
        spool: Option<SpoolHandle>,
    ) -> Inputs {
        let (feed, last) = self.state.follow();
        // A pub link starts with its first subscriber.
        let last_seq = (outlet.pattern != OutPattern::Pub).then_some(last);
        Inputs {
            agent: config.name.clone(),
            boot: self.boot.clone(),
            cameras,
            state: Arc::clone(&self.state),
            readings: LiveReadings::new(feed, last_seq, health.clone(), spool.clone()),
            backlog: spool.map(Backlog::new),
            frames: self.frame_notifier.follow(),
            status: self.status.subscribe(),
        }
    }
}
