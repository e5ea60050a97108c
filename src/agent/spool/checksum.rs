//! Checksums of rows: `SQLite` has none, and a worn SD card may change a reading.

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

use crate::store::StoreError;

/// Adds the SQL function `checksum(…)`: the CRC-32 of the types and bytes of its arguments.
pub(super) fn add_checksum_function(connection: &Connection) -> Result<(), StoreError> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    Ok(connection.create_scalar_function("checksum", -1, flags, |arguments| {
        let mut checksum = crc32fast::Hasher::new();
        for index in 0..arguments.len() {
            let (kind, bytes): (u8, &[u8]) = match arguments.get_raw(index) {
                ValueRef::Null => (0, &[]),
                ValueRef::Integer(number) => (1, &number.to_le_bytes()),
                ValueRef::Real(number) => (2, &number.to_le_bytes()),
                ValueRef::Text(text) => (3, text),
                ValueRef::Blob(bytes) => (4, bytes),
            };
            checksum.update(&[kind]);
            checksum.update(&(bytes.len() as u64).to_le_bytes());
            checksum.update(bytes);
        }
        Ok(i64::from(checksum.finalize()))
    })?)
}
