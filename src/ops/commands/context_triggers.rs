//! The triggers of `rowhook.capture_context` on tables of the source, and the functions behind them.

use std::collections::HashMap;

use super::print;
use crate::fault::Result;
use crate::wal::{Connection, server_error::sql_fault};

/// One of them.
pub(super) struct ContextTrigger {
    /// Its table, quoted as SQL needs it.
    pub(super) table: String,
    /// Whether this role may take it away.
    pub(super) owned: bool,
    /// Whether it fires.
    pub(super) enabled: bool,
}

impl ContextTrigger {
    /// What takes it away.
    fn drop_sql(&self) -> String {
        format!("drop trigger rowhook_context on {}", self.table)
    }
}

/// All of the source.
///
/// # Errors
/// If the catalogs cannot be read.
pub(super) async fn find(connection: &Connection) -> Result<Vec<ContextTrigger>> {
    let fault = |error| sql_fault("cannot look for triggers of rowhook.capture_context", error);
    let sql = include_str!("../../../sql/context_triggers.sql");
    let rows = connection.query(sql, &[]).await.map_err(fault)?;
    let read = |row: &tokio_postgres::Row| {
        Ok(ContextTrigger {
            table: row.try_get(0)?,
            owned: row.try_get(1)?,
            enabled: row.try_get(2)?,
        })
    };
    let triggers: std::result::Result<Vec<_>, _> = rows.iter().map(read).collect();
    triggers.map_err(fault)
}

/// Those of the functions in a script that the source lacks, or has as another version made them.
///
/// # Errors
/// If the catalogs cannot be read.
pub(super) async fn outdated(connection: &Connection, script: &str) -> Result<Vec<String>> {
    let fault = |error| sql_fault("cannot read the functions of schema rowhook", error);
    let sql = "select p.proname::text, p.prosrc from pg_proc p \
               where p.pronamespace = to_regnamespace('rowhook')";
    let mut there = HashMap::new();
    for row in connection.query(sql, &[]).await.map_err(fault)? {
        let (name, body): (String, String) = (
            row.try_get(0).map_err(fault)?,
            row.try_get(1).map_err(fault)?,
        );
        there.insert(name, body);
    }
    let wrong =
        bodies(script).filter(|(name, body)| there.get(*name).map(String::as_str) != Some(body));
    Ok(wrong.map(|(name, _)| format!("rowhook.{name}")).collect())
}

/// Name and body of each function that a script makes, the body as the catalogs keep it.
fn bodies(script: &str) -> impl Iterator<Item = (&str, &str)> {
    let definitions = script.split("create or replace function rowhook.").skip(1);
    definitions.filter_map(|definition| {
        let (name, rest) = definition.split_once('(')?;
        let (_, rest) = rest.split_once("as $$")?;
        let (body, _) = rest.split_once("$$;")?;
        Some((name, body))
    })
}

/// Takes them away, each on its own. One that cannot be taken away now keeps nothing else from going.
///
/// # Errors
/// If standard output cannot be written.
pub(super) async fn drop_all(connection: &Connection, triggers: &[ContextTrigger]) -> Result<()> {
    for trigger in triggers {
        let sql = trigger.drop_sql();
        // Behind a lock that is waited for, the application would wait, too.
        let bounded = format!("begin; set local lock_timeout = '2s'; {sql}; commit");
        let done = connection.batch_execute(&bounded).await;
        let about = format!("trigger rowhook_context on {}", trigger.table);
        match done {
            Ok(()) => print::line(format!("{about}: removed"))?,
            Err(error) => {
                // The failed transaction is still open.
                let _ = connection.batch_execute("rollback").await;
                let fault = sql_fault("it stays", error);
                print::line(format!(
                    "{about}: {}; the table's owner runs: {sql}",
                    fault.cause()
                ))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_script_is_seen() {
        let script = super::super::setup::SOURCE_FUNCTIONS;
        let found: Vec<_> = bodies(script).map(|(name, _)| name).collect();
        let made = script.matches("create or replace function").count();
        assert_eq!(found.len(), made, "{found:?}");
        assert!(found.contains(&"say_context"), "{found:?}");
        assert!(bodies(script).all(|(_, body)| body.trim_end().ends_with("end")));
    }
}
