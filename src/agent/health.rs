//! How each part of the agent is, for the log and for the status message.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::{info, warn};

use crate::lock::lock;
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
    /// Where readings are kept.
    Spool,
}

/// The health of one camera, port or link, or of the spool; its worker reports, the status reads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Part(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    name: Name,
    source: String,
    /// Told when it is otherwise than before; counts alone are no news.
    news: Arc<Notify>,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    state: State,
    cause: String,
    since: Instant,
    said: Said,
    trouble_logged: bool,
    counts: BTreeMap<Cow<'static, str>, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Down,
    Rest,
}

/// The same thing of the same part is logged this often at most, and less and less often while it goes on; status
/// always has it.
const QUIET: Duration = Duration::from_mins(1);
const QUIETEST: Duration = Duration::from_hours(1);

/// Different things of one part that are remembered.
const MOST_SAID: usize = 32;

impl Now {
    /// False when it was so already.
    fn turn(&mut self, state: State, cause: &str) -> bool {
        if (self.state, self.cause.as_str()) == (state, cause) {
            return false;
        }
        if self.state != state {
            self.since = Instant::now();
        }
        self.state = state;
        cause.clone_into(&mut self.cause);
        true
    }
}

/// What was logged lately, the oldest first.
#[derive(Debug, Default)]
struct Said(Vec<Saying>);

#[derive(Debug)]
struct Saying {
    text: String,
    logged: Instant,
    quiet: Duration,
}

impl Said {
    /// True when this was not logged lately.
    fn is_news(&mut self, text: &str, now: Instant) -> bool {
        let known = self.0.iter().position(|saying| saying.text == text);
        let mut quiet = QUIET;
        if let Some(place) = known {
            let before = &self.0[place];
            if now - before.logged < before.quiet {
                return false;
            }
            // What comes back after a long pause is a new trouble.
            if now - before.logged < before.quiet * 2 {
                quiet = (before.quiet * 2).min(QUIETEST);
            }
            self.0.remove(place);
        } else if self.0.len() == MOST_SAID {
            self.0.remove(0);
        }
        self.0.push(Saying { text: text.to_owned(), logged: now, quiet });
        true
    }
}

const STARTING: &str = "starting";

impl Part {
    /// A part that has not started yet; `news` is told each time it is otherwise than before.
    #[must_use]
    pub fn new(kind: Kind, name: Name, source: String, news: &Arc<Notify>) -> Part {
        let now = Now {
            state: State::Down,
            cause: STARTING.to_owned(),
            since: Instant::now(),
            said: Said::default(),
            trouble_logged: false,
            counts: BTreeMap::new(),
        };
        Part(Arc::new(Inner { kind, name, source, news: Arc::clone(news), now: Mutex::new(now) }))
    }

    /// It works, and `how`.
    pub fn up(&self, how: &str) {
        let mut now = self.now();
        let was_up = now.state == State::Up;
        let turned = self.turn(&mut now, State::Up, how);
        // A trouble that was logged is also logged as over, and so is another way of being up.
        if turned && (std::mem::take(&mut now.trouble_logged) || now.said.is_news(how, Instant::now())) {
            now.trouble_logged = was_up;
            info!("{}: {how}", self.title());
        }
    }

    /// It does not work, and why.
    pub fn down(&self, why: &str) {
        let mut now = self.now();
        self.turn(&mut now, State::Down, why);
        if now.said.is_news(why, Instant::now()) {
            now.trouble_logged = true;
            warn!("{}: {why}", self.title());
        }
    }

    /// It does nothing, and that is as it should be.
    pub fn rest(&self, why: &str) {
        if self.turn(&mut self.now(), State::Rest, why) {
            info!("{}: {why}", self.title());
        }
    }

    /// It is up, or down with a cause, or at rest.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.now().cause != STARTING
    }

    /// It is about to work, or to be down with a cause.
    pub fn start(&self) {
        self.turn(&mut self.now(), State::Down, STARTING);
    }

    /// It works, but not all of it; `example` says more than `what`.
    pub fn remark(&self, what: &str, example: impl FnOnce() -> String) {
        if self.now().said.is_news(what, Instant::now()) {
            warn!("{}: {}", self.title(), example());
        }
    }

    /// What the status says of it in another way is otherwise than before.
    pub fn has_news(&self) {
        self.0.news.notify_one();
    }

    /// Adds to what is counted as `what`.
    pub fn count(&self, what: impl Into<Cow<'static, str>>, n: u64) {
        *self.now().counts.entry(what.into()).or_default() += n;
    }

    /// What there is of `what` now.
    pub fn gauge(&self, what: &'static str, n: u64) {
        self.now().counts.insert(what.into(), n);
    }

    /// As a status message says it.
    #[must_use]
    pub fn status(&self) -> PartStatus {
        let now = self.now();
        PartStatus {
            name: self.0.name.clone(),
            source: self.0.source.clone(),
            up: now.state == State::Up,
            cause: now.cause.clone(),
            for_ms: now.since.elapsed().as_millis() as u64,
            counts: now.counts.clone(),
            settings: None,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// As the log calls it.
    #[must_use]
    pub fn title(&self) -> String {
        let kind = match self.0.kind {
            Kind::Camera => "camera",
            Kind::Port => "port",
            Kind::Link => "link",
            // There is one.
            Kind::Spool => return format!("spool {}", self.0.source),
        };
        format!("{kind} {} ({})", self.0.name, self.0.source)
    }

    /// False when it was so already.
    fn turn(&self, now: &mut Now, state: State, cause: &str) -> bool {
        let turned = now.turn(state, cause);
        if turned {
            self.0.news.notify_one();
        }
        turned
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        lock(&self.0.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persistent_cause_is_logged_at_growing_intervals() {
        let (mut said, start) = (Said::default(), Instant::now());
        let logged = |said: &mut Said, seconds: std::ops::Range<u64>| -> Vec<u64> {
            let mut times: Vec<u64> = seconds.collect();
            times.retain(|second| said.is_news("silent", start + Duration::from_secs(*second)));
            times
        };
        assert_eq!(logged(&mut said, 0..1000), [0, 60, 180, 420, 900]);
        let hours: Vec<u64> = logged(&mut said, 1000..100_000).windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(hours.last(), Some(&3600));
        assert_eq!(logged(&mut said, 200_000..200_100), [200_000, 200_060]);
    }
}
