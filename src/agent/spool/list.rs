//! The command `watchpost spool`: lists the spooled readings of each link, and drops those of a removed link. The agent
//! may be running.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use super::change::Change;
use super::checksum::add_checksum_function;
use super::disk::KIND;
use crate::config::{Agent, Bytes, Outlet, Spool};
use crate::store::StoreError;

/// Describes the spool: its size, and how many readings wait for each link.
///
/// # Errors
/// When the configuration has no spool, or its file cannot be read.
pub fn list(config: &Agent) -> Result<String> {
    let spool = spool_of(config)?;
    let path = spool.path.display();
    if !spool.path.exists() {
        return Ok(format!("{path} does not exist yet; the agent creates it when it starts\n"));
    }
    describe(config, spool).with_context(|| {
        format!("cannot read {path}; the agent moves a damaged spool aside when it starts, and recovers its readings")
    })
}

fn describe(config: &Agent, spool: &Spool) -> Result<String, StoreError> {
    let file = KIND.read(&spool.path)?;
    let total = "SELECT coalesce(sum(count), 0), min(unix_us) FROM batches";
    let (readings, oldest): (i64, Option<i64>) = file.query_row(total, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let size = Bytes(Change(&file).used_bytes()?);
    let path = spool.path.display();
    let mut text = format!("{path}: {}, {size} of at most {}\n", count(readings), spool.max_size);
    if let Some(oldest) = oldest.and_then(|us| Timestamp::from_microsecond(us).ok()) {
        let _ = writeln!(text, "  oldest reading: {oldest:.0}, by the machine's clock at that time");
    }
    for link in links(&file)? {
        let waiting = "SELECT coalesce(sum(count), 0) FROM batches WHERE NOT EXISTS (SELECT 1 FROM acked
                     WHERE link = ? AND acked.start = batches.start AND seq >= first AND seq + count - 1 <= last)";
        let waiting: i64 = file.query_row(waiting, [&link], |row| row.get(0))?;
        let _ = write!(text, "  {} for {link}", count(waiting));
        if !is_configured(config, &link) {
            let _ = write!(text, ", which is no longer configured; run `watchpost spool --forget {link}` to drop them");
        }
        text.push('\n');
    }
    Ok(text)
}

/// Drops the readings of a link that was removed from the configuration.
///
/// # Errors
/// When the link is still configured or unknown, or the file cannot be written.
pub fn forget(config: &Agent, link: &str) -> Result<()> {
    let spool = spool_of(config)?;
    ensure!(!is_configured(config, link), "{link} is in the configuration; remove its [[link]] first");
    let mut file = KIND.join(&spool.path).with_context(|| format!("cannot open {}", spool.path.display()))?;
    add_checksum_function(&file)?;
    let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if Change(&transaction).remove_link(link)? == 0 {
        bail!("readings are kept for {} and not for {link}", links(&transaction)?.join(" and "));
    }
    transaction.commit()?;
    Ok(())
}

fn spool_of(config: &Agent) -> Result<&Spool> {
    let is_used = config.links.iter().any(Outlet::is_acknowledged);
    config.spool.as_ref().filter(|_| is_used).context(
        "this configuration has no spool: it is off, or [spool] has no path and you have no home directory, \
         or no [[link]] has the pattern pair or dealer and the format watchpost",
    )
}

fn is_configured(config: &Agent, link: &str) -> bool {
    config.links.iter().any(|outlet| outlet.is_acknowledged() && outlet.end.address().as_str() == link)
}

fn links(file: &Connection) -> Result<Vec<String>, StoreError> {
    let mut select = file.prepare("SELECT link FROM links ORDER BY rowid")?;
    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn count(readings: i64) -> String {
    match readings {
        0 => "no readings wait".to_owned(),
        1 => "1 reading waits".to_owned(),
        _ => format!("{readings} readings wait"),
    }
}
