//! The checkpoint: how far the source has been logged, and who may write.

use tokio_postgres::{Row, types::PgLsn};

use crate::fault::{Fault, Result};
use crate::wal::{Connection, DurablePosition, Lsn, is_undefined, server_error::sql_fault};

/// The one row of `rowhook.checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// System identifier of the source.
    pub system_identifier: String,
    /// Timeline of the source when it was last read.
    pub timeline: u32,
    /// Source database.
    pub database: String,
    /// Slot that was created for this log.
    pub slot: String,
    /// The writer's epoch.
    pub epoch: i64,
    /// Commit record of the last logged transaction.
    pub commit_lsn: Lsn,
    /// The farthest position that the slot may have been told.
    pub acknowledged_lsn: Lsn,
    /// The next event's sequence id.
    pub next_sequence_id: i64,
}

/// A position up to which the log is complete on disk. Only what has been committed makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable(Lsn);

impl Durable {
    pub(super) fn committed(position: Lsn) -> Self {
        Self(position)
    }
}

impl DurablePosition for Durable {
    fn position(&self) -> Lsn {
        self.0
    }
}

pub(super) fn to_pg(lsn: Lsn) -> PgLsn {
    PgLsn::from(lsn.0)
}

pub(super) fn from_pg(lsn: PgLsn) -> Lsn {
    Lsn(u64::from(lsn))
}

const COLUMNS: &str = "system_identifier, timeline, database, slot, epoch, commit_lsn, acknowledged_lsn, next_sequence_id";

impl Checkpoint {
    /// Reads it; `None` where setup has not been run.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn read(connection: &Connection) -> Result<Option<Self>> {
        let what = "cannot read the checkpoint";
        match connection
            .query_opt(&format!("select {COLUMNS} from rowhook.checkpoint"), &[])
            .await
        {
            Ok(row) => row
                .map(|row| Self::from_row(&row).map_err(|error| sql_fault(what, error)))
                .transpose(),
            Err(error) if is_undefined(&error) => Ok(None),
            Err(error) => Err(sql_fault(what, error)),
        }
    }

    /// Writes the first one, when the slot was created.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn create(&self, connection: &Connection) -> Result<()> {
        connection
            .execute(
                "insert into rowhook.checkpoint \
                   (system_identifier, timeline, database, slot, commit_lsn, acknowledged_lsn, next_sequence_id) \
                 values ($1, $2, $3, $4, $5, $6, $7)",
                &[
                    &self.system_identifier,
                    &i64::from(self.timeline),
                    &self.database,
                    &self.slot,
                    &to_pg(self.commit_lsn),
                    &to_pg(self.acknowledged_lsn),
                    &self.next_sequence_id,
                ],
            )
            .await
            .map_err(|error| sql_fault("cannot write the first checkpoint", error))?;
        Ok(())
    }

    /// Takes the log over: every earlier writer is fenced from here on.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn claim(connection: &Connection, timeline: u32) -> Result<Self> {
        let what = "cannot take over the log";
        let sql = format!(
            "update rowhook.checkpoint set epoch = epoch + 1, timeline = $1, updated_at = now() returning {COLUMNS}"
        );
        let row = connection
            .query_opt(&sql, &[&i64::from(timeline)])
            .await
            .map_err(|error| sql_fault(what, error))?
            .ok_or_else(|| {
                Fault::permanent("the log has no checkpoint").next_step("run `rowhook setup`")
            })?;
        Self::from_row(&row).map_err(|error| sql_fault(what, error))
    }

    /// Notes that the source goes on on another timeline, which has all that is logged.
    ///
    /// # Errors
    /// Fenced if the epoch has passed; otherwise by the server's SQLSTATE.
    pub async fn follow(connection: &Connection, epoch: i64, timeline: u32) -> Result<Self> {
        let what = "cannot note the source's timeline";
        let sql = format!(
            "update rowhook.checkpoint set timeline = $1, updated_at = now() where epoch = $2 returning {COLUMNS}"
        );
        let row = connection
            .query_opt(&sql, &[&i64::from(timeline), &epoch])
            .await
            .map_err(|error| sql_fault(what, error))?
            .ok_or_else(|| Fault::fenced("another rowhook instance has taken over this log"))?;
        Self::from_row(&row).map_err(|error| sql_fault(what, error))
    }

    fn from_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            system_identifier: row.try_get(0)?,
            timeline: u32::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0),
            database: row.try_get(2)?,
            slot: row.try_get(3)?,
            epoch: row.try_get(4)?,
            commit_lsn: from_pg(row.try_get(5)?),
            acknowledged_lsn: from_pg(row.try_get(6)?),
            next_sequence_id: row.try_get(7)?,
        })
    }
}
