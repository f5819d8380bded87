//! The logical replication slot: its state as the server tells it, its making and its end.

use tokio_postgres::types::Type;

use super::{Connection, GatedSession, Lsn, server_error::sql_fault};
use crate::fault::{Fault, Result};

/// A replication slot, as `pg_replication_slots` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Output plugin; `None` for a physical slot.
    pub plugin: Option<String>,
    /// Database it decodes; `None` for a physical slot.
    pub database: Option<String>,
    /// Process that reads from it now.
    pub active_pid: Option<i32>,
    /// Oldest WAL that it holds back.
    pub restart_lsn: Option<Lsn>,
    /// Everything before it was confirmed by a reader.
    pub confirmed_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Whether standbys keep it in step; `None` on servers before 17.
    pub failover: Option<bool>,
    /// Why the server gave it up, as servers from 17 on say it.
    pub invalidation: Option<String>,
    /// Since when nobody reads from it, as servers from 17 on say it.
    pub inactive_since: Option<String>,
}

/// What only newer servers have is null on the others.
const COLUMNS: &str = "plugin, database, active_pid::text, restart_lsn::text, confirmed_flush_lsn::text, wal_status, \
    to_jsonb(s) ->> 'failover', to_jsonb(s) ->> 'invalidation_reason', to_jsonb(s) ->> 'inactive_since'";

impl Slot {
    /// Reads the state on the session that will stream.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn read(session: &mut GatedSession, name: &str) -> Result<Option<Self>> {
        let sql = format!(
            "select {COLUMNS} from pg_catalog.pg_replication_slots s where slot_name = '{}'",
            name.replace('\'', "''")
        );
        let rows = session.query(&sql).await?;
        Ok(rows
            .into_iter()
            .next()
            .map(|row| Self::from_text(&mut row.into_iter())))
    }

    /// Reads the state on an ordinary connection.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn look_up(connection: &Connection, name: &str) -> Result<Option<Self>> {
        let sql = format!(
            "select {COLUMNS} from pg_catalog.pg_replication_slots s where slot_name = $1::text"
        );
        let row = connection
            .query_opt(&sql, &[&name])
            .await
            .map_err(|error| sql_fault(format!("cannot read slot \"{name}\""), error))?;
        Ok(row.map(|row| {
            let mut columns =
                (0..row.len()).map(|index| row.try_get::<_, Option<String>>(index).ok().flatten());
            Self::from_text(&mut columns)
        }))
    }

    fn from_text(columns: &mut dyn Iterator<Item = Option<String>>) -> Self {
        let mut next = || columns.next().flatten();
        let (plugin, database) = (next(), next());
        let active_pid = next().and_then(|pid| pid.parse().ok());
        let restart_lsn = next().and_then(|lsn| lsn.parse().ok());
        let confirmed_lsn = next().and_then(|lsn| lsn.parse().ok());
        Self {
            plugin,
            database,
            active_pid,
            restart_lsn,
            confirmed_lsn,
            wal_status: next(),
            failover: next().map(|text| text == "true"),
            invalidation: next(),
            inactive_since: next(),
        }
    }

    /// Why the slot can never stream again; `None` while it can.
    #[must_use]
    pub fn loss(&self) -> Option<String> {
        let lost = self.wal_status.as_deref() == Some("lost");
        // Without a position it holds nothing back, and there is nothing to begin with.
        if !lost && (self.plugin.is_none() || self.restart_lsn.is_some()) {
            return None;
        }
        Some(match self.invalidation.as_deref() {
            None | Some("wal_removed") => {
                "the server removed WAL that it needed (max_slot_wal_keep_size)".to_owned()
            }
            Some("idle_timeout") => {
                "nobody read from it for so long that the server gave it up (idle_replication_slot_timeout)".to_owned()
            }
            Some("wal_level_insufficient") => "wal_level was not logical for a while".to_owned(),
            Some("rows_removed") => "the server removed catalog rows that it needed".to_owned(),
            Some(reason) => format!("the server gave it up ({reason})"),
        })
    }
}

/// Creates the slot and returns the position from which it streams.
///
/// # Errors
/// By the server's SQLSTATE. Waits for transactions that run, as Postgres does.
pub async fn create(connection: &Connection, name: &str, failover: bool) -> Result<Lsn> {
    let row = connection
        .query_one(
            &format!("select lsn::text from {}", making("$1::text", failover)),
            &[&name],
        )
        .await
        .map_err(|error| sql_fault(format!("cannot create slot \"{name}\""), error))?;
    let text: String = row
        .try_get(0)
        .map_err(|error| sql_fault("reading the slot's position", error))?;
    text.parse::<Lsn>()
        .map_err(|error| Fault::permanent(format!("slot \"{name}\"")).because(error))
}

/// The call that makes a slot; servers before 17 know no failover slots.
fn making(name: &str, failover: bool) -> String {
    let failover = if failover { ", failover => true" } else { "" };
    format!("pg_catalog.pg_create_logical_replication_slot({name}, 'pgoutput'{failover})")
}

/// The statement that makes the slot.
#[must_use]
pub fn create_sql(name: &str, failover: bool) -> String {
    let name = format!("'{}'", name.replace('\'', "''"));
    format!("select {}", making(&name, failover))
}

/// Makes the slot a failover slot, or an ordinary one. Only a replication session can; the slot must
/// not be in use.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn set_failover(session: &mut GatedSession, name: &str, failover: bool) -> Result<()> {
    session
        .query(&failover_command(name, failover))
        .await
        .map(|_| ())
}

/// The replication command for that.
#[must_use]
pub fn failover_command(name: &str, failover: bool) -> String {
    let name = super::publication::quote(name);
    format!("ALTER_REPLICATION_SLOT {name} ( FAILOVER {failover} )")
}

/// Drops the slot, if it is there.
///
/// # Errors
/// By the server's SQLSTATE; a slot in use cannot be dropped.
pub async fn drop(connection: &Connection, name: &str) -> Result<()> {
    connection
        .execute(
            "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots \
             where slot_name = $1::text",
            &[&name],
        )
        .await
        .map_err(|error| sql_fault(format!("cannot drop slot \"{name}\""), error))?;
    Ok(())
}

/// How far the server's WAL is, and how much of it the slot holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retained {
    /// Where the server writes now.
    pub current: Lsn,
    /// Bytes between the oldest WAL that the slot needs and the newest.
    pub held_bytes: u64,
    /// Bytes between the confirmed position and the newest WAL.
    pub lag_bytes: u64,
}

/// The open transaction that began first among those that write: WAL is needed from where it began.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenTransaction {
    /// Its id.
    pub xid: String,
    /// The server process that runs it; `None` for a prepared one.
    pub pid: Option<i32>,
    /// Whose it is; `None` where our role may not see it.
    pub role: Option<String>,
    /// How long it is open, in seconds; `None` where our role may not see it.
    pub seconds: Option<f64>,
    /// Its name, if it is prepared.
    pub prepared: Option<String>,
}

/// Looks for that transaction, in every database of the server.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn oldest_transaction(connection: &Connection) -> Result<Option<OpenTransaction>> {
    let fault = |error| sql_fault("cannot look for open transactions", error);
    let row = connection
        .query_opt(include_str!("../../sql/oldest_transaction.sql"), &[])
        .await
        .map_err(fault)?;
    let read = |row: tokio_postgres::Row| -> Result<OpenTransaction, tokio_postgres::Error> {
        Ok(OpenTransaction {
            xid: row.try_get(0)?,
            pid: row.try_get(1)?,
            role: row.try_get(2)?,
            seconds: row.try_get(3)?,
            prepared: row.try_get(4)?,
        })
    };
    row.map(read).transpose().map_err(fault)
}

/// Measures what the slot holds back; `None` where there is no such slot.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn retained(connection: &Connection, name: &str) -> Result<Option<Retained>> {
    let row = connection
        .query_typed_opt(
            "select pg_catalog.pg_current_wal_lsn()::text, restart_lsn::text, confirmed_flush_lsn::text \
             from pg_catalog.pg_replication_slots where slot_name = $1::text",
            &[(&name, Type::TEXT)],
        )
        .await
        .map_err(|error| sql_fault(format!("cannot measure slot \"{name}\""), error))?;
    let Some(row) = row else { return Ok(None) };
    let lsn = |index: usize| -> Option<Lsn> {
        row.try_get::<_, Option<String>>(index)
            .ok()
            .flatten()
            .and_then(|text| text.parse().ok())
    };
    let Some(current) = lsn(0) else {
        return Ok(None);
    };
    let behind = |lsn: Option<Lsn>| lsn.map_or(0, |lsn| current.bytes_since(lsn));
    Ok(Some(Retained {
        current,
        held_bytes: behind(lsn(1)),
        lag_bytes: behind(lsn(2)),
    }))
}
