//! Ranges of consecutive numbers, and sets of them.

use std::collections::BTreeMap;

/// The numbers from `first` to `last`, both included; empty when `last` is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeqRange {
    /// The smallest number.
    pub first: u64,
    /// The largest number.
    pub last: u64,
}

impl SeqRange {
    /// The numbers from `first` to `last`.
    #[must_use]
    pub fn new(first: u64, last: u64) -> SeqRange {
        SeqRange { first, last }
    }

    /// Whether the range has no numbers.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.last < self.first
    }

    /// How many numbers the range has.
    #[must_use]
    pub fn count(self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    /// Whether all numbers of `other` are in this range.
    #[must_use]
    pub fn contains(self, other: SeqRange) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

/// A set of numbers that mostly follow one another. Two ranges never touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// The last number of each range, by its first.
    last_by_first: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds the numbers of `range`.
    pub fn insert(&mut self, range: SeqRange) {
        if range.is_empty() {
            return;
        }
        let SeqRange { mut first, mut last } = range;
        // Merges from the right: each range that starts before the end of the new one, or right after it.
        while let Some((&other_first, &other_last)) = self.last_by_first.range(..=last.saturating_add(1)).next_back() {
            if other_last.saturating_add(1) < first {
                break;
            }
            self.last_by_first.remove(&other_first);
            (first, last) = (first.min(other_first), last.max(other_last));
        }
        self.last_by_first.insert(first, last);
    }

    /// Removes the numbers of `range`.
    pub fn remove(&mut self, range: SeqRange) {
        if range.is_empty() {
            return;
        }
        let SeqRange { first, last } = range;
        while let Some((&other_first, &other_last)) = self.last_by_first.range(..=last).next_back() {
            if other_last < first {
                break;
            }
            self.last_by_first.remove(&other_first);
            if other_last > last {
                self.last_by_first.insert(last + 1, other_last);
            }
            if other_first < first {
                self.last_by_first.insert(other_first, first - 1);
            }
        }
    }

    /// Adds the numbers of another set.
    pub fn extend(&mut self, other: &Ranges) {
        other.iter().for_each(|range| self.insert(range));
    }

    /// Removes the numbers of another set.
    pub fn subtract(&mut self, other: &Ranges) {
        other.iter().for_each(|range| self.remove(range));
    }

    /// How many numbers are in the set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.iter().map(SeqRange::count).sum()
    }

    /// The range that contains `number`.
    #[must_use]
    pub fn around(&self, number: u64) -> Option<SeqRange> {
        let (&first, &last) = self.last_by_first.range(..=number).next_back()?;
        (number <= last).then_some(SeqRange { first, last })
    }

    /// Whether all numbers of `range`, which is not empty, are in the set.
    #[must_use]
    pub fn contains(&self, range: SeqRange) -> bool {
        self.around(range.first).is_some_and(|around| range.last <= around.last)
    }

    /// The numbers that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Ranges) -> Ranges {
        let mut common = Ranges::default();
        for SeqRange { first, last } in self.iter() {
            let begun_before = other.around(first).into_iter();
            let begun_within = other.last_by_first.range(first..=last);
            let others = begun_before.chain(begun_within.map(|(first, last)| SeqRange::new(*first, *last)));
            for other in others {
                common.insert(SeqRange::new(first.max(other.first), last.min(other.last)));
            }
        }
        common
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.last_by_first.iter().map(|(first, last)| SeqRange { first: *first, last: *last })
    }

    /// The number of ranges.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.last_by_first.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reference set of sixty numbers, one flag each.
    #[derive(Clone, Copy)]
    struct Flags([bool; 60]);

    impl Flags {
        fn ranges(&self) -> Vec<SeqRange> {
            let mut ranges: Vec<SeqRange> = Vec::new();
            for number in (0..60).filter(|number| self.0[*number as usize]) {
                match ranges.last_mut() {
                    Some(range) if range.last + 1 == number => range.last = number,
                    _ => ranges.push(SeqRange::new(number, number)),
                }
            }
            ranges
        }
    }

    #[test]
    fn ranges_behave_like_a_set_of_numbers() {
        fastrand::seed(7);
        let mut sets = [(Ranges::default(), Flags([false; 60])), (Ranges::default(), Flags([false; 60]))];
        for _ in 0..20_000 {
            let (ranges, flags) = &mut sets[fastrand::usize(..2)];
            let (first, length) = (fastrand::u64(1..60), fastrand::u64(..8));
            let last = (first + length).min(60) - 1;
            let range = SeqRange::new(first, last);
            let is_in = fastrand::bool();
            if is_in {
                ranges.insert(range);
            } else {
                ranges.remove(range);
            }
            (first..=last).for_each(|number| flags.0[number as usize] = is_in);
            assert_eq!(ranges.iter().collect::<Vec<_>>(), flags.ranges());
            let around = flags.ranges().into_iter().find(|range| (range.first..=range.last).contains(&first));
            assert_eq!(ranges.around(first), around);
            let asked = SeqRange::new(first, first.max(last));
            assert_eq!(ranges.contains(asked), around.is_some_and(|range| range.last >= asked.last));
            let [(one, one_flags), (other, other_flags)] = &sets;
            let both = Flags(std::array::from_fn(|number| one_flags.0[number] && other_flags.0[number]));
            assert_eq!(one.intersection(other).iter().collect::<Vec<_>>(), both.ranges());
        }
    }

    #[test]
    fn largest_number_is_supported() {
        let mut ranges = Ranges::default();
        ranges.insert(SeqRange::new(u64::MAX, u64::MAX));
        ranges.insert(SeqRange::new(0, u64::MAX - 1));
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [SeqRange::new(0, u64::MAX)]);
        ranges.remove(SeqRange::new(5, u64::MAX));
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [SeqRange::new(0, 4)]);
    }
}
