//! A series over a period in a limited number of points: from readings, minutes or hours, the finest that can be read in a
//! moment. The points keep minimum and maximum.

use rusqlite::{Connection, OptionalExtension as _};

use super::aggregates::{Bucket, HOUR, MINUTE, bucket_start};
use super::read_error::ReadError;

/// The most rows read per point. Hours, the coarsest table, have a limit of 45 years.
const ROWS_PER_POINT: usize = 20;
const MAX_HOURS: usize = 400_000;

/// A request for a chart.
#[derive(Clone, Copy, Debug)]
pub struct ChartQuery {
    /// Number of the series.
    pub series: i64,
    /// Microseconds since 1970.
    pub from_us: i64,
    /// End of the period, exclusive: after `from_us`, by less than 2^62.
    pub to_us: i64,
    /// The most points to return, at least two.
    pub points: usize,
}

/// A series in points.
#[derive(Debug)]
pub struct Chart {
    /// The microseconds that each point covers from its time on; 0 if each point is one reading.
    pub step_us: i64,
    /// The points by time; periods without readings have none.
    pub points: Vec<Point>,
}

/// One point of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Microseconds since 1970.
    pub at_us: i64,
    /// The smallest value.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The mean of all values.
    pub mean: f64,
}

/// A table that charts can be read from.
struct Level {
    table: &'static str,
    columns: &'static str,
    /// Steps are multiples of this. Times of readings are accurate to the millisecond.
    unit_us: i64,
}

const LEVELS: [Level; 3] = [
    Level { table: "readings", columns: "at_us, 1, value, value, value", unit_us: 1_000 },
    Level { table: "minutes", columns: "at_us, count, sum, min, max", unit_us: MINUTE },
    Level { table: "hours", columns: "at_us, count, sum, min, max", unit_us: HOUR },
];

impl Chart {
    pub(super) fn read(connection: &mut Connection, query: &ChartQuery) -> Result<Chart, ReadError> {
        // One snapshot of the file for all reads.
        let transaction = connection.transaction()?;
        let series = "SELECT 1 FROM series WHERE id = ?";
        if transaction.query_row(series, [query.series], |_| Ok(())).optional()?.is_none() {
            return Err(ReadError::NoSeries(query.series));
        }
        for level in &LEVELS {
            if let Some(chart) = level.read(&transaction, query)? {
                return Ok(chart);
            }
        }
        Err(ReadError::TooMuch)
    }
}

impl Level {
    /// Reads the chart from this table; `None` if rows of the period have expired, or there are too many.
    fn read(&self, connection: &Connection, query: &ChartQuery) -> Result<Option<Chart>, ReadError> {
        let step_us = self.step_us(query);
        // Aligned steps keep the shape of a chart that moves with time.
        let from_us = bucket_start(query.from_us, step_us);
        let to_us = bucket_start(query.to_us - 1, step_us) + step_us;
        if self.has_expired(connection, from_us)? {
            return Ok(None);
        }
        let max = if self.unit_us == HOUR { MAX_HOURS } else { query.points * ROWS_PER_POINT };
        let rows = self.rows(connection, query.series, from_us..to_us, max + 1)?;
        if rows.len() > max {
            return Ok(None);
        }
        if self.unit_us < MINUTE {
            let in_period: Vec<_> =
                rows.iter().filter(|(at_us, _)| (query.from_us..query.to_us).contains(at_us)).copied().collect();
            if in_period.len() <= query.points {
                return Ok(Some(Chart { step_us: 0, points: in_period.into_iter().map(Point::of).collect() }));
            }
        }
        Ok(Some(Chart { step_us, points: in_steps(&rows, step_us).into_iter().map(Point::of).collect() }))
    }

    /// The step that gives at most the requested number of points, wherever the first one starts.
    fn step_us(&self, query: &ChartQuery) -> i64 {
        let between = query.points.saturating_sub(1).max(1) as u64;
        let units = (query.to_us.abs_diff(query.from_us)).div_ceil(between).div_ceil(self.unit_us as u64);
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
        max: usize,
    ) -> Result<Vec<(i64, Bucket)>, ReadError> {
        let Level { table, columns, .. } = self;
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE series = ? AND at_us >= ? AND at_us < ? ORDER BY at_us LIMIT ?"
        );
        let mut select = connection.prepare(&sql)?;
        let rows = select.query_map((series, range.start, range.end, max as i64), |row| {
            let bucket = Bucket { count: row.get(1)?, sum: row.get(2)?, min: row.get(3)?, max: row.get(4)? };
            Ok((row.get(0)?, bucket))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn in_steps(rows: &[(i64, Bucket)], step_us: i64) -> Vec<(i64, Bucket)> {
    let mut steps: Vec<(i64, Bucket)> = Vec::new();
    for (at_us, bucket) in rows {
        let at_us = bucket_start(*at_us, step_us);
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
