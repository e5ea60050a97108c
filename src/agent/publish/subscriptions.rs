//! The topics that the subscribers of a pub link want.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use bytes::Bytes;

/// How many topics a link remembers. While there are more, it prepares the frames of every camera.
const MAX_TOPICS: usize = 256;

/// A longer topic is longer than any of ours, so it matches nothing and is ignored.
const MAX_TOPIC_BYTES: usize = 1024;

/// The topic prefixes that have subscribers. `ZMQ_XPUB` reports a topic with its first subscriber and after its last one.
#[derive(Default)]
pub(super) struct Subscriptions {
    topics: BTreeSet<Bytes>,
    /// The sum of the hashes of the topics beyond the limit.
    unremembered: u64,
    hasher: RandomState,
}

impl Subscriptions {
    /// Records that a topic has its first subscriber.
    pub(super) fn add(&mut self, topic: Bytes) {
        if topic.len() > MAX_TOPIC_BYTES || self.topics.contains(&topic) {
            return;
        }
        if self.topics.len() < MAX_TOPICS {
            self.topics.insert(topic);
        } else {
            self.unremembered = self.unremembered.wrapping_add(self.hash(&topic));
        }
    }

    /// Records that a topic has no more subscribers. If a hostile subscriber unsubscribes from topics that nobody had,
    /// the sum does not return to 0 and the link keeps preparing every frame.
    pub(super) fn remove(&mut self, topic: &[u8]) {
        if topic.len() <= MAX_TOPIC_BYTES && !self.topics.remove(topic) && self.unremembered != 0 {
            self.unremembered = self.unremembered.wrapping_sub(self.hash(topic));
        }
    }

    /// Forgets all topics, because the socket closes.
    pub(super) fn clear(&mut self) {
        self.topics.clear();
        self.unremembered = 0;
    }

    /// Whether nobody is subscribed.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.unremembered == 0
    }

    /// Whether a subscriber may want messages with this topic.
    pub(super) fn may_want(&self, topic: &str) -> bool {
        self.unremembered != 0 || self.topics.iter().any(|prefix| topic.as_bytes().starts_with(prefix))
    }

    fn hash(&self, topic: &[u8]) -> u64 {
        self.hasher.hash_one(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(number: usize) -> Bytes {
        format!("frame/shed/camera-{number}").into()
    }

    #[test]
    fn topics_beyond_the_limit_are_wanted_until_they_have_no_subscriber() {
        let mut subscriptions = Subscriptions::default();
        (0..MAX_TOPICS + 2).for_each(|number| subscriptions.add(topic(number)));
        for number in 0..MAX_TOPICS {
            subscriptions.remove(&topic(number));
            assert!(subscriptions.may_want("frame/shed/camera-257"));
        }
        subscriptions.remove(&topic(MAX_TOPICS));
        assert!(!subscriptions.is_empty() && subscriptions.may_want("frame/shed/camera-257"));
        subscriptions.remove(&topic(MAX_TOPICS + 1));
        assert!(subscriptions.is_empty() && !subscriptions.may_want("frame/shed/camera-257"));
    }

    #[test]
    fn hostile_unsubscriptions_hide_nothing() {
        let mut subscriptions = Subscriptions::default();
        (0..=MAX_TOPICS).for_each(|number| subscriptions.add(topic(number)));
        (1_000..2_000).for_each(|number| subscriptions.remove(&topic(number)));
        (0..MAX_TOPICS).for_each(|number| subscriptions.remove(&topic(number)));
        assert!(subscriptions.may_want("frame/shed/camera-256"));
        let long = Bytes::from(vec![b'x'; MAX_TOPIC_BYTES + 1]);
        subscriptions.clear();
        subscriptions.add(long);
        assert!(subscriptions.is_empty());
    }
}
