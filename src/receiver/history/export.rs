//! All readings of a period, in chunks. The file is not in use between chunks, so a slow client holds up nothing.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::OwnedSemaphorePermit;

use super::read_error::ReadError;
use super::reader::Reader;
use super::series_list::Series;

/// Readings in memory at once.
const CHUNK: usize = 500;

/// Limit of the series that one chunk reads. Most of them may have no readings in the period.
const SERIES_PER_CHUNK: usize = 10_000;

/// An unfinished export.
pub struct Export {
    connection: Connection,
    range: Range<i64>,
    /// The series that is being read.
    current: Option<Arc<Series>>,
    /// The series after it: these, or all that follow `after`.
    only: Option<BTreeSet<i64>>,
    after: i64,
    /// The last reading that was read of the current series: time, start and number.
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
            for id in only.iter().flatten() {
                Series::with_id(&connection, *id)?.ok_or(ReadError::NoSeries(*id))?;
            }
            let cursor = (range.start, i64::MIN, i64::MIN);
            let mut export =
                Export { connection, range, current: None, only, after: i64::MIN, cursor, _permit: permit };
            export.advance()?;
            Ok(export)
        });
        opened.await
    }

    /// Returns the next chunk, which may be empty, and the rest of the export; `None` at its end.
    ///
    /// # Errors
    /// As [`Reader::series`].
    pub async fn next(&self, mut export: Export) -> Result<Option<(Vec<Row>, Export)>, ReadError> {
        if export.current.is_none() {
            return Ok(None);
        }
        let read = self.with_permit(move || Ok((export.read()?, export)));
        Ok(Some(read.await?))
    }
}

impl Export {
    fn read(&mut self) -> Result<Vec<Row>, ReadError> {
        let mut found = Vec::new();
        for _ in 0..SERIES_PER_CHUNK {
            let Some(series) = self.current.clone().filter(|_| found.len() < CHUNK) else { break };
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
                found.push(Row { series: Arc::clone(&series), at_us, value, dated });
            }
            drop(rows);
            drop(select);
            if found.len() - before < max {
                self.advance()?;
            }
        }
        Ok(found)
    }

    /// Goes on to the next series, if there is one.
    fn advance(&mut self) -> Result<(), ReadError> {
        self.cursor = (self.range.start, i64::MIN, i64::MIN);
        self.current = loop {
            let next = match &mut self.only {
                None => Series::after(&self.connection, self.after)?,
                Some(only) => {
                    let Some(id) = only.pop_first() else { break None };
                    // The series may have been removed meanwhile.
                    let Some(series) = Series::with_id(&self.connection, id)? else { continue };
                    Some(series)
                }
            };
            self.after = next.as_ref().map_or(self.after, |series| series.id);
            break next.map(Arc::new);
        };
        Ok(())
    }
}
