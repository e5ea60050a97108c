//! A series over a period in a limited number of points: from readings, minutes or hours, the finest that can be read in a
//! moment. The points keep minimum and maximum.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _, Params};

use super::aggregates::{Bucket, HOUR, MINUTE, bucket_start};
use super::gaps::{GapRule, NEIGHBOURS, Row};
use super::read_error::ReadError;
use super::series_list::Series;

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
    /// The indexes of the points after a gap: no line leads there from the point before.
    pub breaks: Vec<usize>,
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
    /// The period that a row summarises; 0 if it is one reading.
    row_us: i64,
}

const LEVELS: [Level; 3] = [
    Level { table: "readings", columns: "at_us, 1, value, value, value", unit_us: 1_000, row_us: 0 },
    Level { table: "minutes", columns: "at_us, count, sum, min, max", unit_us: MINUTE, row_us: MINUTE },
    Level { table: "hours", columns: "at_us, count, sum, min, max", unit_us: HOUR, row_us: HOUR },
];

impl Chart {
    /// Reads a chart. `stale_after_us` returns the age at which a series' newest reading is stale, if that is known.
    pub(super) fn read(
        connection: &mut Connection,
        query: &ChartQuery,
        stale_after_us: impl FnOnce(&Series) -> Option<i64>,
    ) -> Result<Chart, ReadError> {
        // One snapshot of the file for all reads.
        let transaction = connection.transaction()?;
        let series = Series::with_id(&transaction, query.series)?.ok_or(ReadError::NoSeries(query.series))?;
        let stale_after_us = stale_after_us(&series);
        for level in &LEVELS {
            if let Some(chart) = level.read(&transaction, query, stale_after_us)? {
                return Ok(chart);
            }
        }
        Err(ReadError::TooMuch)
    }

    /// Summarises rows in steps; a step of 0 keeps each row. The flags tell whether there is a gap before a row.
    fn of(rows: impl Iterator<Item = (Row, bool)>, step_us: i64) -> Chart {
        let (mut steps, mut breaks) = (Vec::<Row>::new(), Vec::new());
        for ((at_us, bucket), is_after_gap) in rows {
            let at_us = if step_us > 0 { bucket_start(at_us, step_us) } else { at_us };
            if let Some((last_us, last)) = steps.last_mut() {
                if step_us > 0 && *last_us == at_us {
                    last.add(&bucket);
                    continue;
                }
                if is_after_gap {
                    breaks.push(steps.len());
                }
            }
            steps.push((at_us, bucket));
        }
        Chart { step_us, points: steps.into_iter().map(Point::of).collect(), breaks }
    }
}

impl Level {
    /// Reads the chart from this table; `None` if rows of the period have expired, or there are too many.
    fn read(
        &self,
        connection: &Connection,
        query: &ChartQuery,
        stale_after_us: Option<i64>,
    ) -> Result<Option<Chart>, ReadError> {
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
        let is_requested = |(at_us, _): &Row| (query.from_us..query.to_us).contains(at_us);
        let has_room = rows.iter().filter(|row| is_requested(row)).count() <= query.points;
        let step_us = if self.row_us == 0 && has_room { 0 } else { step_us };
        let rule = GapRule { row: self.row_us, step: step_us, stale_after: stale_after_us };
        let rows = self.with_gaps(connection, query.series, from_us..to_us, rows, rule)?;
        Ok(Some(Chart::of(rows.into_iter().filter(|(row, _)| step_us > 0 || is_requested(row)), step_us)))
    }

    /// Tells for each row of the period whether there is a gap before it. The rows around the period count, too, so that
    /// the answer does not depend on the period.
    fn with_gaps(
        &self,
        connection: &Connection,
        series: i64,
        period: Range<i64>,
        rows: Vec<Row>,
        rule: GapRule,
    ) -> Result<Vec<(Row, bool)>, ReadError> {
        let mut all = self.neighbours(connection, series, period.start, "< ? ORDER BY at_us DESC")?;
        all.reverse();
        let period_rows = all.len()..all.len() + rows.len();
        all.extend(rows);
        all.extend(self.neighbours(connection, series, period.end, ">= ? ORDER BY at_us ASC")?);
        Ok(period_rows.map(|index| (all[index], rule.is_before(&all, index))).collect())
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

    fn rows(&self, connection: &Connection, series: i64, range: Range<i64>, max: usize) -> Result<Vec<Row>, ReadError> {
        let condition = "at_us >= ? AND at_us < ? ORDER BY at_us";
        self.select(connection, condition, (series, range.start, range.end, max as i64))
    }

    /// The rows nearest to a time, on the side that `condition` says.
    fn neighbours(
        &self,
        connection: &Connection,
        series: i64,
        at_us: i64,
        condition: &str,
    ) -> Result<Vec<Row>, ReadError> {
        // One more row than intervals.
        self.select(connection, &format!("at_us {condition}"), (series, at_us, NEIGHBOURS as i64 + 1))
    }

    fn select(&self, connection: &Connection, condition: &str, parameters: impl Params) -> Result<Vec<Row>, ReadError> {
        let Level { table, columns, .. } = self;
        let mut select =
            connection.prepare(&format!("SELECT {columns} FROM {table} WHERE series = ? AND {condition} LIMIT ?"))?;
        let rows = select.query_map(parameters, |row| {
            let bucket = Bucket { count: row.get(1)?, sum: row.get(2)?, min: row.get(3)?, max: row.get(4)? };
            Ok((row.get(0)?, bucket))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Point {
    fn of((at_us, bucket): Row) -> Point {
        Point { at_us, min: bucket.min, max: bucket.max, mean: bucket.mean() }
    }
}
