//! The health of each part of the agent, for the log and the status message.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::{info, warn};

use crate::lock::lock;
use crate::name::Name;
use crate::os_error::without_numbers;
use crate::wire::PartStatus;

/// The kind of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A source of frames.
    Camera,
    /// A serial port with a board.
    Port,
    /// A ZeroMQ socket.
    Link,
    /// The store of unacknowledged readings.
    Spool,
}

/// The health of one camera, port or link, or of the spool. Its worker reports it and the status shows it. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Part(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    name: Name,
    source: String,
    /// Notified when the state or its cause changes, but not for counts.
    changed: Arc<Notify>,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    state: State,
    cause: String,
    since: Instant,
    log_history: LogHistory,
    /// The same for faults that do not change the state.
    warnings: LogHistory,
    /// A failure was logged, and the recovery was not.
    failure_logged: bool,
    counts: BTreeMap<Cow<'static, str>, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Down,
    Idle,
}

/// The shortest and longest time between two equal log messages of a part. The time doubles while the message repeats.
const MIN_LOG_INTERVAL: Duration = Duration::from_mins(1);
const MAX_LOG_INTERVAL: Duration = Duration::from_hours(1);

/// How many different messages of a part are remembered, and how many it logs within [`MIN_LOG_INTERVAL`]: strangers at many
/// addresses must not fill the log.
const MAX_LOGGED: usize = 32;

impl Now {
    /// Sets state and cause; returns whether either changed.
    fn set(&mut self, state: State, cause: &str) -> bool {
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

/// The messages that were logged recently, oldest first.
#[derive(Debug, Default)]
struct LogHistory(Vec<Logged>);

#[derive(Debug)]
struct Logged {
    text: String,
    at: Instant,
    /// How long the same message is not logged again.
    interval: Duration,
}

impl LogHistory {
    /// Records a message and returns true, unless the same message or too many others were logged recently.
    fn should_log(&mut self, text: &str, now: Instant) -> bool {
        let index = self.0.iter().position(|logged| logged.text == text);
        let mut interval = MIN_LOG_INTERVAL;
        if let Some(index) = index {
            let last = &self.0[index];
            if now - last.at < last.interval {
                return false;
            }
            // A message that returns after a long pause is a new event.
            if now - last.at < last.interval * 2 {
                interval = (last.interval * 2).min(MAX_LOG_INTERVAL);
            }
            self.0.remove(index);
        } else if self.0.len() == MAX_LOGGED {
            if now - self.0[0].at < MIN_LOG_INTERVAL {
                return false;
            }
            self.0.remove(0);
        }
        self.0.push(Logged { text: text.to_owned(), at: now, interval });
        true
    }
}

const STARTING: &str = "starting";

impl Part {
    /// Creates a part that has not started; it notifies `changed` when its state or cause changes.
    #[must_use]
    pub fn new(kind: Kind, name: Name, source: String, changed: &Arc<Notify>) -> Part {
        let now = Now {
            state: State::Down,
            cause: STARTING.to_owned(),
            since: Instant::now(),
            log_history: LogHistory::default(),
            warnings: LogHistory::default(),
            failure_logged: false,
            counts: BTreeMap::new(),
        };
        Part(Arc::new(Inner { kind, name, source, changed: Arc::clone(changed), now: Mutex::new(now) }))
    }

    /// Reports that the part works, and `how`.
    pub fn up(&self, how: &str) {
        let mut now = self.now();
        let was_up = now.state == State::Up;
        let changed = self.set(&mut now, State::Up, how);
        // Log the recovery from every logged failure, and each change of `how`.
        if changed && (std::mem::take(&mut now.failure_logged) || now.log_history.should_log(how, Instant::now())) {
            now.failure_logged = was_up;
            info!("{}: {how}", self.title());
        }
    }

    /// Reports that the part does not work, and why.
    pub fn down(&self, why: &str) {
        let why = &*without_numbers(why);
        let mut now = self.now();
        self.set(&mut now, State::Down, why);
        if now.log_history.should_log(why, Instant::now()) {
            now.failure_logged = true;
            warn!("{}: {why}", self.title());
        }
    }

    /// Reports that the part is idle on purpose.
    pub fn idle(&self, why: &str) {
        if self.set(&mut self.now(), State::Idle, why) {
            info!("{}: {why}", self.title());
        }
    }

    /// Whether the part has reported its state since its start.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.now().cause != STARTING
    }

    /// Reports that the part is starting.
    pub fn start(&self) {
        self.set(&mut self.now(), State::Down, STARTING);
    }

    /// Logs a fault that does not change the state. Messages with the same `key` are logged rarely.
    pub fn warn(&self, key: &str, text: impl FnOnce() -> String) {
        if self.now().warnings.should_log(key, Instant::now()) {
            warn!("{}: {}", self.title(), text());
        }
    }

    /// Requests a new status after a change that is not part of the health.
    pub fn notify_change(&self) {
        self.0.changed.notify_one();
    }

    /// Adds `n` to the counter `what`.
    pub fn count(&self, what: impl Into<Cow<'static, str>>, n: u64) {
        *self.now().counts.entry(what.into()).or_default() += n;
    }

    /// Sets the gauge `what` to `n`.
    pub fn gauge(&self, what: &'static str, n: u64) {
        self.now().counts.insert(what.into(), n);
    }

    /// The part's entry in a status message.
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

    /// The part's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }

    /// The part's name in log messages.
    #[must_use]
    pub fn title(&self) -> String {
        let kind = match self.0.kind {
            Kind::Camera => "camera",
            Kind::Port => "port",
            Kind::Link => "link",
            // An agent has at most one spool.
            Kind::Spool => return format!("spool {}", self.0.source),
        };
        format!("{kind} {} ({})", self.0.name, self.0.source)
    }

    /// Sets state and cause, and notifies if either changed; returns whether it did.
    fn set(&self, now: &mut Now, state: State, cause: &str) -> bool {
        let changed = now.set(state, cause);
        if changed {
            self.0.changed.notify_one();
        }
        changed
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
        let (mut history, start) = (LogHistory::default(), Instant::now());
        let logged = |history: &mut LogHistory, seconds: std::ops::Range<u64>| -> Vec<u64> {
            let mut times: Vec<u64> = seconds.collect();
            times.retain(|second| history.should_log("silent", start + Duration::from_secs(*second)));
            times
        };
        assert_eq!(logged(&mut history, 0..1000), [0, 60, 180, 420, 900]);
        let hours: Vec<u64> = logged(&mut history, 1000..100_000).windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(hours.last(), Some(&3600));
        assert_eq!(logged(&mut history, 200_000..200_100), [200_000, 200_060]);
    }

    #[test]
    fn many_different_causes_do_not_fill_the_log() {
        let (mut history, start) = (LogHistory::default(), Instant::now());
        let logged = |second: u64| {
            let at = start + Duration::from_secs(second);
            (0..1_000).filter(|who| history.should_log(&format!("refused {second} {who}"), at)).count()
        };
        assert_eq!([0, 30, 61].map(logged), [MAX_LOGGED, 0, MAX_LOGGED]);
    }
}
