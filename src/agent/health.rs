//! How each part of the agent is, for the log and for the status message.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::name::Name;
use crate::wire::PartStatus;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A source of frames.
    Camera,
    /// A serial port with a board.
    Port,
    /// A ZeroMQ socket.
    Link,
}

/// The health of one camera, port or link; its worker reports, the status reads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Part(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    name: Name,
    source: String,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    up: bool,
    cause: String,
    since: Instant,
    said: Said,
    trouble_logged: bool,
    counts: BTreeMap<Cow<'static, str>, u64>,
}

/// The same thing of the same part is logged this often at most; status always has it.
const QUIET: Duration = Duration::from_mins(1);

impl Now {
    /// False when it was so already.
    fn turn(&mut self, up: bool, cause: &str) -> bool {
        if (self.up, self.cause.as_str()) == (up, cause) {
            return false;
        }
        if self.up != up {
            self.since = Instant::now();
        }
        self.up = up;
        cause.clone_into(&mut self.cause);
        true
    }
}

/// What was logged lately.
#[derive(Debug, Default)]
struct Said(Vec<(String, Instant)>);

impl Said {
    /// True when this was not logged within the last minute.
    fn is_news(&mut self, text: &str) -> bool {
        self.0.retain(|(_, at)| at.elapsed() < QUIET);
        let news = !self.0.iter().any(|(said, _)| said == text);
        if news {
            self.0.push((text.to_owned(), Instant::now()));
        }
        news
    }
}

impl Part {
    /// A part that has not started yet.
    #[must_use]
    pub fn new(kind: Kind, name: Name, source: String) -> Part {
        let now = Now {
            up: false,
            cause: "starting".to_owned(),
            since: Instant::now(),
            said: Said::default(),
            trouble_logged: false,
            counts: BTreeMap::new(),
        };
        Part(Arc::new(Inner { kind, name, source, now: Mutex::new(now) }))
    }

    /// It works, and `how`.
    pub fn up(&self, how: &str) {
        let mut now = self.now();
        let turned = now.turn(true, how);
        // A trouble that was logged is also logged as over.
        if turned && (std::mem::take(&mut now.trouble_logged) || now.said.is_news(how)) {
            info!("{} {} ({}): {how}", self.kind(), self.0.name, self.0.source);
        }
    }

    /// It does not work, and why.
    pub fn down(&self, why: &str) {
        let mut now = self.now();
        now.turn(false, why);
        if now.said.is_news(why) {
            now.trouble_logged = true;
            warn!("{} {} ({}): {why}", self.kind(), self.0.name, self.0.source);
        }
    }

    /// Adds to what is counted as `what`.
    pub fn count(&self, what: impl Into<Cow<'static, str>>, n: u64) {
        *self.now().counts.entry(what.into()).or_default() += n;
    }

    /// As a status message says it.
    #[must_use]
    pub fn status(&self) -> PartStatus {
        let now = self.now();
        PartStatus {
            name: self.0.name.clone(),
            source: self.0.source.clone(),
            up: now.up,
            cause: now.cause.clone(),
            for_ms: now.since.elapsed().as_millis() as u64,
            counts: now.counts.clone(),
        }
    }

    /// Camera, port or link.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        self.0.kind == kind
    }

    fn kind(&self) -> &'static str {
        match self.0.kind {
            Kind::Camera => "camera",
            Kind::Port => "port",
            Kind::Link => "link",
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
