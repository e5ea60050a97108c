//! What a person may want to know of a spool, and the one thing that only a person can decide: that a receiver has gone for
//! good. The agent may be running.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use super::change::Change;
use super::checksum::add_checksum_function;
use super::disk::KIND;
use crate::config::{Agent, Bytes, Outlet, Spool};
use crate::store::StoreError;

/// A text with a line a link: how many readings wait for its receiver.
///
/// # Errors
/// When the configuration has no spool, or its file cannot be read.
pub fn list(config: &Agent) -> Result<String> {
    let spool = spool(config)?;
    let path = spool.path.display();
    if !spool.path.exists() {
        return Ok(format!("{path} is not there yet: the agent makes it\n"));
    }
    look(config, spool).with_context(|| {
        format!("cannot read {path}; the agent sets aside what is damaged when it starts, and takes over what is sound of it")
    })
}

fn look(config: &Agent, spool: &Spool) -> Result<String, StoreError> {
    let file = KIND.read(&spool.path)?;
    let sum = "SELECT coalesce(sum(count), 0), min(unix_us) FROM batches";
    let (readings, oldest): (i64, Option<i64>) = file.query_row(sum, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let size = Bytes(Change(&file).used_bytes()?);
    let path = spool.path.display();
    let mut text = format!("{path}: {}, {size} of {} at most\n", count(readings), spool.max_size);
    if let Some(oldest) = oldest.and_then(|us| Timestamp::from_microsecond(us).ok()) {
        let _ = writeln!(text, "  the oldest of {oldest:.0}, by this machine's clock then");
    }
    for link in links(&file)? {
        let lacks = "SELECT coalesce(sum(count), 0) FROM batches WHERE NOT EXISTS (SELECT 1 FROM acked
                     WHERE link = ? AND acked.start = batches.start AND seq >= first AND seq + count - 1 <= last)";
        let lacks: i64 = file.query_row(lacks, [&link], |row| row.get(0))?;
        let what = format!("{} for {link}", count(lacks));
        let stray = format!(", which is in no [[link]]; `watchpost spool --forget {link}` ends that");
        let _ = writeln!(text, "  {what}{}", if is_configured(config, &link) { "" } else { &stray });
    }
    Ok(text)
}

/// Keeps nothing more for a link.
///
/// # Errors
/// When it is still configured, or not known, or the file cannot be written.
pub fn forget(config: &Agent, link: &str) -> Result<()> {
    let spool = spool(config)?;
    ensure!(!is_configured(config, link), "{link} is in the configuration; take its [[link]] out first");
    let mut file = KIND.join(&spool.path).with_context(|| format!("cannot open {}", spool.path.display()))?;
    add_checksum_function(&file)?;
    let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if Change(&transaction).remove_link(link)? == 0 {
        bail!("readings are kept for {}, not for {link}", links(&transaction)?.join(" and "));
    }
    transaction.commit()?;
    Ok(())
}

fn spool(config: &Agent) -> Result<&Spool> {
    let kept = config.links.iter().any(Outlet::is_acknowledged);
    config.spool.as_ref().filter(|_| kept).context(
        "this configuration has no spool: it is off, or this user has no home and [spool] path = … does not say where, \
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
