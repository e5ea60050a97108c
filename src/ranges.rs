//! A set of numbers, stored as ranges.

use std::collections::BTreeMap;

/// A set of mostly consecutive numbers. Two ranges never touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// The last number of each range, by its first.
    last_by_first: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds the numbers from `first` to `last`; does nothing if `last` is smaller.
    pub fn insert(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        // Merge the ranges that overlap or touch, from right to left.
        while let Some((&other_first, &other_last)) = self.last_by_first.range(..=last.saturating_add(1)).next_back() {
            if other_last.saturating_add(1) < first {
                break;
            }
            self.last_by_first.remove(&other_first);
            (first, last) = (first.min(other_first), last.max(other_last));
        }
        self.last_by_first.insert(first, last);
    }

    /// Removes the numbers from `first` to `last`; does nothing if `last` is smaller.
    pub fn remove(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
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

    /// The range that contains `number`.
    #[must_use]
    pub fn around(&self, number: u64) -> Option<(u64, u64)> {
        let (&first, &last) = self.last_by_first.range(..=number).next_back()?;
        (number <= last).then_some((first, last))
    }

    /// Whether the set contains all numbers from `first` to `last`.
    #[must_use]
    pub fn has(&self, first: u64, last: u64) -> bool {
        self.around(first).is_some_and(|(_, end)| last <= end)
    }

    /// The intersection of two sets.
    #[must_use]
    pub fn common(&self, other: &Ranges) -> Ranges {
        let mut common = Ranges::default();
        for (first, last) in self.iter() {
            let begun_before = other.around(first).into_iter();
            let others =
                begun_before.chain(other.last_by_first.range(first..=last).map(|(first, last)| (*first, *last)));
            for (other_first, other_last) in others {
                common.insert(first.max(other_first), last.min(other_last));
            }
        }
        common
    }

    /// The ranges in order, each as its first and last number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.last_by_first.iter().map(|(first, last)| (*first, *last))
    }

    /// Number of ranges.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.last_by_first.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set of the numbers below 60, as one flag each.
    #[derive(Clone, Copy)]
    struct Plain([bool; 60]);

    impl Plain {
        fn ranges(&self) -> Vec<(u64, u64)> {
            let mut ranges: Vec<(u64, u64)> = Vec::new();
            for number in (0..60).filter(|number| self.0[*number as usize]) {
                match ranges.last_mut() {
                    Some((_, last)) if *last + 1 == number => *last = number,
                    _ => ranges.push((number, number)),
                }
            }
            ranges
        }
    }

    #[test]
    fn ranges_match_a_plain_list_of_numbers() {
        fastrand::seed(7);
        let mut all = [(Ranges::default(), Plain([false; 60])), (Ranges::default(), Plain([false; 60]))];
        for _ in 0..20_000 {
            let (ranges, plain) = &mut all[fastrand::usize(..2)];
            let (first, length) = (fastrand::u64(1..60), fastrand::u64(..8));
            let last = (first + length).min(60) - 1;
            let is_in = fastrand::bool();
            if is_in {
                ranges.insert(first, last);
            } else {
                ranges.remove(first, last);
            }
            (first..=last).for_each(|number| plain.0[number as usize] = is_in);
            assert_eq!(ranges.iter().collect::<Vec<_>>(), plain.ranges());
            let around = plain.ranges().into_iter().find(|(from, to)| (*from..=*to).contains(&first));
            assert_eq!(ranges.around(first), around);
            assert_eq!(ranges.has(first, first.max(last)), around.is_some_and(|(_, to)| to >= first.max(last)));
            let [(one, plain_one), (other, plain_other)] = &all;
            let both = Plain(std::array::from_fn(|number| plain_one.0[number] && plain_other.0[number]));
            assert_eq!(one.common(other).iter().collect::<Vec<_>>(), both.ranges());
        }
    }

    #[test]
    fn largest_number_is_supported() {
        let mut ranges = Ranges::default();
        ranges.insert(u64::MAX, u64::MAX);
        ranges.insert(0, u64::MAX - 1);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, u64::MAX)]);
        ranges.remove(5, u64::MAX);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, 4)]);
    }
}
