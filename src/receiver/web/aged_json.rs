//! JSON whose ages are written when it is sent, so that it can be kept and shared.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Ages that differ by less count as the same, because messages arrive with varying delays.
const TOLERANCE: Duration = Duration::from_millis(500);

/// A time span that grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    /// Its length at `since`, in milliseconds.
    pub(super) base_ms: u64,
    /// When it had that length.
    pub(super) since: Instant,
}

impl Age {
    /// The time since a moment.
    pub(super) fn of(since: Instant) -> Age {
        Age { base_ms: 0, since }
    }

    /// Milliseconds at the moment `now`.
    pub(super) fn ms(self, now: Instant) -> u64 {
        self.base_ms.saturating_add(now.duration_since(self.since).as_millis() as u64)
    }

    fn is_near(self, other: Age) -> bool {
        let now = self.since.max(other.since);
        self.ms(now).abs_diff(other.ms(now)) < TOLERANCE.as_millis() as u64
    }
}

/// The members of a JSON object, with gaps for ages.
#[derive(Clone, Debug, Default)]
pub(super) struct AgedJson {
    text: String,
    /// Where the ages belong in the text, in this order.
    ages: Vec<(usize, Age)>,
}

impl AgedJson {
    /// Adds a member.
    pub(super) fn member(&mut self, key: &str, value: &impl Serialize) {
        self.key(key);
        self.text.push_str(&to_json(value));
    }

    /// Adds a member that is an age, or null.
    pub(super) fn age(&mut self, key: &str, age: Option<Age>) {
        self.key(key);
        match age {
            Some(age) => self.ages.push((self.text.len(), age)),
            None => self.text.push_str("null"),
        }
    }

    /// Adds a member that is an object, or null.
    pub(super) fn object(&mut self, key: &str, members: Option<AgedJson>) {
        self.key(key);
        match members {
            Some(members) => self.braces(members),
            None => self.text.push_str("null"),
        }
    }

    /// Adds a member that is a list of objects.
    pub(super) fn list(&mut self, key: &str, objects: impl IntoIterator<Item = AgedJson>) {
        self.key(key);
        self.text.push('[');
        for (place, members) in objects.into_iter().enumerate() {
            if place > 0 {
                self.text.push(',');
            }
            self.braces(members);
        }
        self.text.push(']');
    }

    /// Whether both have the same text, and nearly the same ages.
    pub(super) fn is_same(&self, other: &AgedJson) -> bool {
        let ages = self.ages.iter().zip(&other.ages);
        self.text == other.text
            && ages.into_iter().all(|((at, age), (other_at, other))| at == other_at && age.is_near(*other))
    }

    /// Appends the members to `out`, with the ages that they have `now`.
    pub(super) fn write(&self, now: Instant, out: &mut String) {
        let mut done = 0;
        for (at, age) in &self.ages {
            out.push_str(&self.text[done..*at]);
            write!(out, "{}", age.ms(now)).expect("writing to a String cannot fail");
            done = *at;
        }
        out.push_str(&self.text[done..]);
    }

    fn key(&mut self, key: &str) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        write!(self.text, "\"{key}\":").expect("writing to a String cannot fail");
    }

    fn braces(&mut self, members: AgedJson) {
        self.text.push('{');
        let start = self.text.len();
        self.text.push_str(&members.text);
        self.ages.extend(members.ages.into_iter().map(|(at, age)| (start + at, age)));
        self.text.push('}');
    }
}

/// JSON of a value that has string keys.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has string keys and infallible values")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(json: &AgedJson, now: Instant) -> Value {
        let mut text = "{".to_owned();
        json.write(now, &mut text);
        text.push('}');
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn example(since: Instant, name: &str) -> AgedJson {
        let part = |name: &str, age| {
            let mut part = AgedJson::default();
            part.age("for_ms", age);
            part.member("name", &name);
            part
        };
        let age = Age { base_ms: 1_000, since };
        let mut json = AgedJson::default();
        json.age("heard_ms", Some(Age::of(since)));
        json.list("ports", [part(name, Some(age)), part("b", None)]);
        json.list("links", []);
        json.object("spool", Some(part("spool", Some(age))));
        json.object("machine", None);
        json
    }

    #[test]
    fn ages_are_those_of_the_moment_of_writing() {
        let start = Instant::now();
        let example = example(start, "\"},{\u{0}é");
        for ms in [0, 7, 12_345] {
            let expected = json!({
                "heard_ms": ms, "links": [], "machine": null, "spool": { "name": "spool", "for_ms": 1_000 + ms },
                "ports": [{ "name": "\"},{\u{0}é", "for_ms": 1_000 + ms }, { "name": "b", "for_ms": null }],
            });
            assert_eq!(written(&example, start + Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn ages_of_any_size_are_written() {
        let since = Instant::now();
        let mut json = AgedJson::default();
        json.age("age_ms", Some(Age { base_ms: u64::MAX, since }));
        assert_eq!(written(&json, since + Duration::from_secs(1)), json!({ "age_ms": u64::MAX }));
    }

    #[test]
    fn only_other_texts_and_moments_differ() {
        let since = Instant::now();
        let first = example(since, "a");
        assert!(first.is_same(&example(since + Duration::from_millis(499), "a")));
        assert!(!first.is_same(&example(since + Duration::from_millis(501), "a")));
        assert!(!first.is_same(&example(since, "c")));
    }
}
