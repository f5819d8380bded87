//! The log: login, schema, room to write.

use super::Report;
use crate::event_log::{encoding, migrate};
use crate::fault::Result;
use crate::ops::settings::Settings;
use crate::wal::{Connection, server_error::sql_fault};

pub(super) async fn look(settings: &Settings, report: &mut Report) {
    let target = &settings.log.target;
    let connection = match Connection::open(target, "rowhook check").await {
        Ok(connection) => connection,
        Err(fault) => return report.fault("log", &fault),
    };
    // A source that does not answer is reported where it is looked at.
    if let Ok(source) = Connection::open(&settings.source.target, "rowhook check").await
        && let Err(fault) = encoding::fits(&source, &connection).await
    {
        report.fault("log", &fault);
    }
    if let Err(fault) = schema(&connection, settings, report).await {
        report.fault("log", &fault);
    }
}

async fn schema(connection: &Connection, settings: &Settings, report: &mut Report) -> Result<()> {
    let fault = |error| sql_fault("cannot read the log database's settings", error);
    let row = connection
        .query_one(
            "select pg_is_in_recovery() or current_setting('default_transaction_read_only') = 'on', \
                    has_database_privilege(current_database(), 'create')",
            &[],
        )
        .await
        .map_err(fault)?;
    let (read_only, may_create): (bool, bool) = (
        row.try_get(0).map_err(fault)?,
        row.try_get(1).map_err(fault)?,
    );
    if read_only {
        report.bad(
            "log",
            "the database is read-only",
            "point log.url at a primary, or make the database writable",
        );
    }
    match migrate::version(connection).await? {
        Some(version) => match migrate::check(version) {
            Ok(()) => report.good("log", format!("schema version {version}")),
            Err(fault) => report.fault("log", &fault),
        },
        None if may_create => report.bad("log", "the schema does not exist yet", "rowhook setup"),
        None => report.bad(
            "log",
            format!(
                "the schema does not exist yet, and {} may not create it",
                settings.log.target.user
            ),
            "rowhook setup --print-sql, for someone who may",
        ),
    }
    Ok(())
}
