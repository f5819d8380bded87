//! The log's schema: plain numbered files, applied in order under an advisory lock.

use crate::fault::{Fault, Result};
use crate::wal::{Connection, is_undefined, server_error::sql_fault};

/// Every migration, by version.
pub const MIGRATIONS: [(i32, &str); 4] = [
    (1, include_str!("../../sql/0001_log.sql")),
    (2, include_str!("../../sql/0002_capture.sql")),
    (3, include_str!("../../sql/0003_delivery.sql")),
    (4, include_str!("../../sql/0004_product.sql")),
];

/// Two instances that migrate at once take turns by this lock.
const LOCK: i64 = 0x726f_7768_6f6f_6b00;

/// `if not exists` alone would ask for the right to create schemas even where this one is there.
const CREATE_SCHEMA: &str = "do $$ begin if not exists (select from pg_catalog.pg_namespace where nspname = 'rowhook') \
     then create schema rowhook; end if; end $$;\n";

/// The version of the schema in this database; `None` where there is none.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn version(connection: &Connection) -> Result<Option<i32>> {
    let what = "cannot read the log's schema version";
    match connection
        .query_one("select max(version) from rowhook.schema_version", &[])
        .await
    {
        Ok(row) => row.try_get(0).map_err(|error| sql_fault(what, error)),
        Err(error) if is_undefined(&error) => Ok(None),
        Err(error) => Err(sql_fault(what, error)),
    }
}

/// Brings the schema to the version that this binary writes. Creates it where there is none.
///
/// # Errors
/// Permanent if a newer binary wrote it; otherwise by the server's SQLSTATE.
pub async fn migrate(connection: &Connection) -> Result<()> {
    let fault = |error| sql_fault("cannot migrate the log's schema", error);
    connection
        .execute("select pg_catalog.pg_advisory_lock($1)", &[&LOCK])
        .await
        .map_err(fault)?;
    let outcome = apply_missing(connection).await;
    // If this fails the connection is gone, and the lock with it.
    let _ = connection
        .execute("select pg_catalog.pg_advisory_unlock($1)", &[&LOCK])
        .await;
    outcome
}

async fn apply_missing(connection: &Connection) -> Result<()> {
    let current = version(connection).await?.unwrap_or(0);
    check(current)?;
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > current) {
        connection
            .batch_execute(&script(*version, sql))
            .await
            .map_err(|error| {
                sql_fault(
                    format!("cannot apply migration {version} of the log's schema"),
                    error,
                )
            })?;
    }
    Ok(())
}

/// Refuses a schema that this binary does not know.
///
/// # Errors
/// Permanent, with both versions.
pub fn check(current: i32) -> Result<()> {
    let newest = MIGRATIONS.last().map_or(0, |(version, _)| *version);
    if current <= newest {
        return Ok(());
    }
    Err(Fault::permanent(format!(
        "the log's schema has version {current}, this rowhook knows versions up to {newest}"
    ))
    .next_step("install the newer rowhook that wrote the log; a log cannot be taken back to an older version"))
}

/// One migration as a transaction of its own.
#[must_use]
pub fn script(version: i32, sql: &str) -> String {
    let schema = if version == 1 { CREATE_SCHEMA } else { "" };
    format!(
        "begin;\n{schema}{sql}\ninsert into rowhook.schema_version (version) values ({version});\ncommit;\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_refused_with_both_versions() {
        assert!(check(1).is_ok());
        let newest = MIGRATIONS.len();
        let fault = check(99).unwrap_err();
        assert_eq!(fault.exit_code(), 70);
        assert!(fault.cause().contains("version 99"));
        assert!(fault.cause().contains(&format!("up to {newest}")));
    }

    #[test]
    fn migrations_are_numbered_without_gaps() {
        for (index, (version, _)) in (1..).zip(MIGRATIONS) {
            assert_eq!(index, version);
        }
    }
}
