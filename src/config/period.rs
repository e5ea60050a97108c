//! Durations.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// A duration, written as `"500ms"`, `"10s"`, `"5min"`, `"2h"` or `"30d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

/// Units in milliseconds, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Period, String> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let unit = UNITS.into_iter().find(|(name, _)| *name == unit);
        let millis = unit.zip(number.parse::<u64>().ok()).and_then(|((_, millis), number)| millis.checked_mul(number));
        let wrong = || format!("{text:?} is not a duration; write \"500ms\", \"10s\", \"5min\", \"2h\" or \"30d\"");
        millis.filter(|millis| *millis > 0).map(|millis| Period(Duration::from_millis(millis))).ok_or_else(wrong)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.as_millis() as u64;
        let (unit, millis) = UNITS.into_iter().find(|(_, millis)| all.is_multiple_of(*millis)).unwrap_or(("ms", 1));
        write!(f, "{}{unit}", all / millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_and_shown() {
        let read = |text: &str| Period::try_from(text.to_owned());
        assert_eq!(read("30d"), Ok(Period(Duration::from_hours(720))));
        for same in ["500ms", "10s", "5min", "2h", "30d"] {
            assert_eq!(read(same).map(|period| period.to_string()), Ok(same.to_owned()));
        }
        for wrong in ["", "10", "s", "0s", "-1s", "1.5h", "10 s", "1w", "99999999999999999999s", "999999999999999d"] {
            assert!(read(wrong).is_err_and(|text| text.contains("write \"500ms\"")), "{wrong}");
        }
    }
}
