//! A series over a time, in so few points that they can be drawn, whatever its length: of readings, of minutes or of hours, as
//! fine as can be gone through in a moment. What was smallest and largest stays.

use rusqlite::{Connection, OptionalExtension as _};

use super::aggregates::{Bucket, HOUR, MINUTE, beginning};
use super::read_error::ReadError;

/// Rows that are gone through for a point; hours, of which there is nothing coarser: those of 45 years.
const ROWS_A_POINT: usize = 20;
const MOST_HOURS: usize = 400_000;

/// What is to be drawn.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// Its number.
    pub series: i64,
    /// Microseconds since 1970.
    pub from_us: i64,
    /// Behind the end, and behind `from_us`; by less than 2^62.
    pub to_us: i64,
    /// At most so many, and at least two.
    pub points: usize,
}

/// What can be drawn.
#[derive(Debug)]
pub struct Chart {
    /// What each point stands for: so many microseconds from its time on; 0: for one reading.
    pub step_us: i64,
    /// In their order; none for a time without readings.
    pub points: Vec<Point>,
}

/// What was measured at or from a time on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Microseconds since 1970.
    pub at_us: i64,
    /// The smallest value.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Of all.
    pub mean: f64,
}

/// A table that charts are drawn from.
struct Level {
    table: &'static str,
    columns: &'static str,
    /// What a step has several of: readings have a time to the millisecond that means something.
    unit_us: i64,
}

const LEVELS: [Level; 3] = [
    Level { table: "readings", columns: "at_us, 1, value, value, value", unit_us: 1_000 },
    Level { table: "minutes", columns: "at_us, count, sum, min, max", unit_us: MINUTE },
    Level { table: "hours", columns: "at_us, count, sum, min, max", unit_us: HOUR },
];

impl Chart {
    pub(super) fn read(connection: &mut Connection, ask: &Ask) -> Result<Chart, ReadError> {
        // One state of the file for all that follows.
        let transaction = connection.transaction()?;
        let series = "SELECT 1 FROM series WHERE id = ?";
        if transaction.query_row(series, [ask.series], |_| Ok(())).optional()?.is_none() {
            return Err(ReadError::NoSeries(ask.series));
        }
        for level in &LEVELS {
            if let Some(chart) = level.draw(&transaction, ask)? {
                return Ok(chart);
            }
        }
        Err(ReadError::TooMuch)
    }
}

impl Level {
    /// None: something has expired here, or there is too much.
    fn draw(&self, connection: &Connection, ask: &Ask) -> Result<Option<Chart>, ReadError> {
        let step_us = self.step_us(ask);
        // Whole steps, so that a chart that moves on with the time keeps its shape.
        let from_us = beginning(ask.from_us, step_us);
        let to_us = beginning(ask.to_us - 1, step_us) + step_us;
        if self.has_expired(connection, from_us)? {
            return Ok(None);
        }
        let most = if self.unit_us == HOUR { MOST_HOURS } else { ask.points * ROWS_A_POINT };
        let rows = self.rows(connection, ask.series, from_us..to_us, most + 1)?;
        if rows.len() > most {
            return Ok(None);
        }
        if self.unit_us < MINUTE {
            let asked: Vec<_> =
                rows.iter().filter(|(at_us, _)| (ask.from_us..ask.to_us).contains(at_us)).copied().collect();
            if asked.len() <= ask.points {
                return Ok(Some(Chart { step_us: 0, points: asked.into_iter().map(Point::of).collect() }));
            }
        }
        Ok(Some(Chart { step_us, points: in_steps(&rows, step_us).into_iter().map(Point::of).collect() }))
    }

    /// As long that there are no more points than asked for, wherever the first begins.
    fn step_us(&self, ask: &Ask) -> i64 {
        let between = ask.points.saturating_sub(1).max(1) as u64;
        let units = (ask.to_us.abs_diff(ask.from_us)).div_ceil(between).div_ceil(self.unit_us as u64);
        self.unit_us * units.max(1) as i64
    }

    fn has_expired(&self, connection: &Connection, from_us: i64) -> Result<bool, ReadError> {
        let before = "SELECT before_us FROM expired WHERE name = ?";
        let before = connection.query_row(before, [self.table], |row| row.get::<_, i64>(0)).optional()?;
        Ok(before.is_some_and(|before_us| from_us < before_us))
    }

    fn rows(
        &self,
        connection: &Connection,
        series: i64,
        range: std::ops::Range<i64>,
        most: usize,
    ) -> Result<Vec<(i64, Bucket)>, ReadError> {
        let Level { table, columns, .. } = self;
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE series = ? AND at_us >= ? AND at_us < ? ORDER BY at_us LIMIT ?"
        );
        let mut select = connection.prepare(&sql)?;
        let rows = select.query_map((series, range.start, range.end, most as i64), |row| {
            let bucket = Bucket { count: row.get(1)?, sum: row.get(2)?, min: row.get(3)?, max: row.get(4)? };
            Ok((row.get(0)?, bucket))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn in_steps(rows: &[(i64, Bucket)], step_us: i64) -> Vec<(i64, Bucket)> {
    let mut steps: Vec<(i64, Bucket)> = Vec::new();
    for (at_us, bucket) in rows {
        let at_us = beginning(*at_us, step_us);
        match steps.last_mut() {
            Some((last_us, last)) if *last_us == at_us => last.add(bucket),
            _ => steps.push((at_us, *bucket)),
        }
    }
    steps
}

impl Point {
    fn of((at_us, bucket): (i64, Bucket)) -> Point {
        Point { at_us, min: bucket.min, max: bucket.max, mean: bucket.mean() }
    }
}
