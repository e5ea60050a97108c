//! All readings of a time, a few at once: who takes them slowly holds up nothing, because between two reads the file is free.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::OwnedSemaphorePermit;

use super::read_error::ReadError;
use super::reader::{Reader, Series, all};

/// Readings that are in memory at once.
const ROWS: usize = 500;

/// An export that has not come to its end.
pub struct Export {
    connection: Connection,
    range: Range<i64>,
    left: VecDeque<Arc<Series>>,
    /// The last that was read of the first of them: when, start and number.
    behind: (i64, i64, i64),
    _room: OwnedSemaphorePermit,
}

/// A reading.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is of.
    pub series: Arc<Series>,
    /// When it was captured, microseconds since 1970.
    pub at_us: i64,
    /// In the series' unit.
    pub value: f64,
    /// By whose clock: 0 the agent's, which was set by another one; 1 the receiver's; 2 one that nobody had set.
    pub dated: i64,
}

impl Reader {
    /// All readings of a time, of these series or of all: a series after the other, each in the order of its times.
    ///
    /// # Errors
    /// As [`Reader::series`], and when there is no such series.
    pub async fn export(&self, range: Range<i64>, only: Option<BTreeSet<i64>>) -> Result<Export, ReadError> {
        let room = self.room()?;
        let opened = self.opened(move |connection| {
            let mut known = all(&connection)?;
            let left = match only {
                None => known.into_values().map(Arc::new).collect(),
                Some(only) => {
                    let find = |id| known.remove(&id).map(Arc::new).ok_or(ReadError::NoSeries(id));
                    only.into_iter().map(find).collect::<Result<_, _>>()?
                }
            };
            let behind = (range.start, i64::MIN, i64::MIN);
            Ok(Export { connection, range, left, behind, _room: room })
        });
        opened.await
    }

    /// The next of them, and the rest; none: there are no more.
    ///
    /// # Errors
    /// As [`Reader::series`].
    pub async fn next(&self, mut export: Export) -> Result<Option<(Vec<Row>, Export)>, ReadError> {
        let read = self.take_turn(move || Ok((export.read()?, export)));
        Ok(Some(read.await?).filter(|(rows, _)| !rows.is_empty()))
    }
}

impl Export {
    fn read(&mut self) -> Result<Vec<Row>, ReadError> {
        let mut found = Vec::new();
        while let Some(series) = self.left.front().filter(|_| found.len() < ROWS) {
            let (at_us, start, seq) = self.behind;
            let mut select = self.connection.prepare_cached(
                "SELECT at_us, value, dated, start, seq FROM readings
                 WHERE series = ? AND (at_us, start, seq) > (?, ?, ?) AND at_us < ? ORDER BY at_us, start, seq LIMIT ?",
            )?;
            let most = ROWS - found.len();
            let mut rows = select.query((series.id, at_us, start, seq, self.range.end, most as i64))?;
            let before = found.len();
            while let Some(row) = rows.next()? {
                let (at_us, value, dated) = (row.get(0)?, row.get(1)?, row.get(2)?);
                self.behind = (at_us, row.get(3)?, row.get(4)?);
                found.push(Row { series: Arc::clone(series), at_us, value, dated });
            }
            if found.len() - before < most {
                self.left.pop_front();
                self.behind = (self.range.start, i64::MIN, i64::MIN);
            }
        }
        Ok(found)
    }
}
