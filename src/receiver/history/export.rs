//! All readings of a period, in chunks. The file is not in use between chunks, so a slow client holds up nothing.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::OwnedSemaphorePermit;

use super::read_error::ReadError;
use super::reader::Reader;
use super::series::{Series, all_series};

/// Readings in memory at once.
const CHUNK: usize = 500;

/// An unfinished export.
pub struct Export {
    connection: Connection,
    range: Range<i64>,
    /// Series that are not complete.
    left: VecDeque<Arc<Series>>,
    /// The last reading that was read of the first one: time, start and number.
    cursor: (i64, i64, i64),
    _permit: OwnedSemaphorePermit,
}

/// A reading.
#[derive(Clone, Debug)]
pub struct Row {
    /// The reading's series.
    pub series: Arc<Series>,
    /// When it was captured, microseconds since 1970.
    pub at_us: i64,
    /// Its value, in the series' unit.
    pub value: f64,
    /// The clock of `at_us`: 0 the agent's, synchronised; 1 the receiver's; 2 the agent's, unsynchronised.
    pub dated: i64,
}

impl Reader {
    /// Starts an export of all readings of a period, of these series or of all, ordered by series and time.
    ///
    /// # Errors
    /// As [`Reader::series`], and when a series does not exist.
    pub async fn export(&self, range: Range<i64>, only: Option<BTreeSet<i64>>) -> Result<Export, ReadError> {
        let permit = self.export_permit()?;
        let opened = self.with_connection(move |connection| {
            let mut known = all_series(&connection)?;
            let left = match only {
                None => known.into_values().map(Arc::new).collect(),
                Some(only) => {
                    let find = |id| known.remove(&id).map(Arc::new).ok_or(ReadError::NoSeries(id));
                    only.into_iter().map(find).collect::<Result<_, _>>()?
                }
            };
            let cursor = (range.start, i64::MIN, i64::MIN);
            Ok(Export { connection, range, left, cursor, _permit: permit })
        });
        opened.await
    }

    /// Returns the next chunk and the rest of the export; `None` at its end.
    ///
    /// # Errors
    /// As [`Reader::series`].
    pub async fn next(&self, mut export: Export) -> Result<Option<(Vec<Row>, Export)>, ReadError> {
        let read = self.with_permit(move || Ok((export.read()?, export)));
        Ok(Some(read.await?).filter(|(rows, _)| !rows.is_empty()))
    }
}

impl Export {
    fn read(&mut self) -> Result<Vec<Row>, ReadError> {
        let mut found = Vec::new();
        while let Some(series) = self.left.front().filter(|_| found.len() < CHUNK) {
            let (at_us, start, seq) = self.cursor;
            let mut select = self.connection.prepare_cached(
                "SELECT at_us, value, dated, start, seq FROM readings
                 WHERE series = ? AND (at_us, start, seq) > (?, ?, ?) AND at_us < ? ORDER BY at_us, start, seq LIMIT ?",
            )?;
            let max = CHUNK - found.len();
            let mut rows = select.query((series.id, at_us, start, seq, self.range.end, max as i64))?;
            let before = found.len();
            while let Some(row) = rows.next()? {
                let (at_us, value, dated) = (row.get(0)?, row.get(1)?, row.get(2)?);
                self.cursor = (at_us, row.get(3)?, row.get(4)?);
                found.push(Row { series: Arc::clone(series), at_us, value, dated });
            }
            if found.len() - before < max {
                self.left.pop_front();
                self.cursor = (self.range.start, i64::MIN, i64::MIN);
            }
        }
        Ok(found)
    }
}
