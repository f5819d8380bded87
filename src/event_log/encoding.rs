//! Encodings: what a source can hold, its log has to be able to hold.

use tokio_postgres::error::SqlState;

use crate::fault::{Fault, Result};
use crate::wal::{Connection, server_error::sql_fault};

/// Refuses a log database in an encoding that lacks characters of the source's.
///
/// # Errors
/// Settings, with both encodings; otherwise by the server's SQLSTATE.
pub async fn fits(source: &Connection, log: &Connection) -> Result<()> {
    let (source, log) = (of(source).await?, of(log).await?);
    if holds(&log, &source) {
        return Ok(());
    }
    Err(Fault::settings(format!(
        "the log's database is encoded in {log} and cannot hold every character of the source, which is in {source}"
    ))
    .next_step("create database … encoding 'UTF8' template template0, and name it in log.url"))
}

async fn of(connection: &Connection) -> Result<String> {
    let fault = |error| sql_fault("cannot read a database's encoding", error);
    let row = connection
        .query_one("select pg_catalog.current_setting('server_encoding')", &[])
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

/// SQL_ASCII takes any bytes. What comes from such a source may be any character.
fn holds(log: &str, source: &str) -> bool {
    log == "UTF8" || log == "SQL_ASCII" || log == source
}

/// Whether a statement failed because the database's encoding lacks a character of it.
pub(super) fn lacks_a_character(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::UNTRANSLATABLE_CHARACTER)
}

/// A remark in characters that every database has.
pub(super) fn plain(remark: &str) -> String {
    let plain = |char: char| if char.is_ascii() { char } else { '?' };
    remark.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_holds_what_its_encoding_holds() {
        for (log, source, holding) in [
            ("UTF8", "LATIN1", true),
            ("LATIN1", "LATIN1", true),
            ("SQL_ASCII", "UTF8", true),
            ("LATIN1", "UTF8", false),
            ("LATIN1", "SQL_ASCII", false),
        ] {
            assert_eq!(holds(log, source), holding, "{source} in {log}");
        }
    }

    #[test]
    fn a_plain_remark_is_ascii() {
        assert_eq!(plain("answered 500: nö 😀…"), "answered 500: n? ??");
    }
}
