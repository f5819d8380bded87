//! Keeping the publication in step with the tables that are captured.

use super::continuity::{self, Break};
use super::survey::{Survey, survey, wants_full};
use crate::event::Capture;
use crate::event_log::{Published, keys};
use crate::fault::{Fault, Result};
use crate::wal::publication::{self, LackingPartition, Table};
use crate::wal::{Connection, ReplicaIdentity, Source, server_error::sql_fault};

/// What a look at the publication gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// It has carried every change, and does now.
    Whole(Refreshed),
    /// Changes may be missing.
    Broken(Break),
}

/// What a refresh changed, and what it could not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Tables that joined the publication now.
    pub joined: Vec<String>,
    /// Partitions whose old rows are carried whole from now on.
    pub identified: Vec<String>,
    /// What could not be done.
    pub problems: Vec<Problem>,
    /// Primary keys of the captured tables.
    pub keys: Vec<(u32, Vec<String>)>,
}

/// Why a table could not join, or a partition's old rows are not carried whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// `schema.table`.
    pub table: String,
    /// The cause and what to do.
    pub says: String,
    /// Whether it can wait: trying again means to wait for a lock, behind which the application would
    /// wait, too. A table that is not captured yet cannot.
    pub can_wait: bool,
}

impl Refreshed {
    /// One table's trouble is not the others'; a connection that is gone is everyone's.
    fn failed(
        &mut self,
        connection: &Connection,
        table: String,
        fault: Fault,
        can_wait: bool,
    ) -> Result<()> {
        if connection.is_ended() {
            return Err(fault);
        }
        let step = fault
            .advice()
            .map_or(String::new(), |step| format!(" ({step})"));
        self.problems.push(Problem {
            table,
            says: format!("{}{step}", fault.cause()),
            can_wait,
        });
        Ok(())
    }

    fn not_ours(&mut self, table: String, says: String) {
        self.problems.push(Problem {
            table,
            says,
            can_wait: false,
        });
    }
}

/// Sees whether the publication has carried every change since the last look, adds tables that match
/// and are not published yet, sets their replica identity and that of partitions that were added
/// meanwhile, and notes what the publication holds now. Leaves alone what `may_touch` does not take.
///
/// # Errors
/// By the server's SQLSTATE; settings, if a new table makes resource names ambiguous.
pub async fn refresh(
    connection: &Connection,
    log: &Connection,
    source: &Source,
    capture: &Capture,
    may_touch: impl Fn(&str) -> bool,
) -> Result<Look> {
    let name = &source.publication;
    let noted = Published::read(log).await?;
    let found = publication::look_up(connection, name).await?;
    let tables = publication::tables(connection, name).await?;
    let broken = noted
        .as_ref()
        .and_then(|noted| continuity::broken(name, noted, found.as_ref(), &tables, capture));
    if let Some(broken) = broken {
        return Ok(Look::Broken(broken));
    }
    let Some(found) = found else {
        return Ok(Look::Broken(Break::dropped(name)));
    };
    let now = continuity::noted(&found, &tables, capture);
    if noted.is_none_or(|noted| noted != now) {
        now.note(log).await?;
    }
    let survey = survey(tables, source, capture)?;
    let mut refreshed = Refreshed {
        keys: survey.keys(),
        ..Refreshed::default()
    };
    let missing = survey.captured.iter().filter(|table| !table.published);
    for table in missing.filter(|table| !found.all_tables && may_touch(&table.label())) {
        let label = table.label();
        if !table.owned {
            let says = "it matches and is not captured: another role owns it; `rowhook check` prints what it has to run";
            refreshed.not_ours(label, says.into());
            continue;
        }
        // First: a table that is dropped right after it joined leaves rows behind whose key nobody
        // else could tell.
        if !table.primary_key.is_empty() {
            keys::note(log, table.oid, &table.primary_key).await?;
        }
        match join(connection, source, capture, table).await {
            Ok(()) => refreshed.joined.push(label),
            Err(fault) => refreshed.failed(connection, label, fault, false)?,
        }
    }
    if source.replica_identity == ReplicaIdentity::Full {
        identify_partitions(connection, &survey, may_touch, &mut refreshed).await?;
    }
    if !refreshed.joined.is_empty() {
        note(connection, log, source, capture).await?;
    }
    Ok(Look::Whole(refreshed))
}

/// Notes what the publication holds now: from here on, whatever is taken out of it is noticed.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note(
    connection: &Connection,
    log: &Connection,
    source: &Source,
    capture: &Capture,
) -> Result<()> {
    let name = &source.publication;
    let Some(found) = publication::look_up(connection, name).await? else {
        return Ok(());
    };
    let tables = publication::tables(connection, name).await?;
    continuity::noted(&found, &tables, capture).note(log).await
}

async fn join(
    connection: &Connection,
    source: &Source,
    capture: &Capture,
    table: &Table,
) -> Result<()> {
    let name = &source.publication;
    let label = table.label();
    if wants_full(table, source, capture) {
        set_identity(connection, table).await?;
    }
    let sql = publication::add_sql(name, std::slice::from_ref(table));
    in_short_lock(connection, &sql).await.map_err(|error| {
        sql_fault(
            format!("cannot add {label} to publication \"{name}\""),
            error,
        )
    })
}

async fn identify_partitions(
    connection: &Connection,
    survey: &Survey,
    may_touch: impl Fn(&str) -> bool,
    refreshed: &mut Refreshed,
) -> Result<()> {
    let lacking = publication::lacking_partitions(connection, &survey.roots()).await?;
    for partition in lacking {
        if !may_touch(&partition.label) {
            continue;
        }
        if !partition.owned {
            let says = format!(
                "old values of this partition are not known: another role owns it and has to run: {}",
                partition.sql
            );
            refreshed.not_ours(partition.label, says);
            continue;
        }
        match set_identity_of_partition(connection, &partition).await {
            Ok(()) => refreshed.identified.push(partition.label),
            Err(fault) => refreshed.failed(connection, partition.label, fault, true)?,
        }
    }
    Ok(())
}

/// Makes the stream carry whole old rows; of a partitioned table, those of its partitions.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn set_identity(connection: &Connection, table: &Table) -> Result<()> {
    let mut statements = vec![publication::identity_full_sql(table)];
    for partition in publication::lacking_partitions(connection, &[table.oid]).await? {
        statements.push(partition.sql);
    }
    in_short_lock(connection, &statements.join("; "))
        .await
        .map_err(|error| identity_fault(&table.label(), error))
}

/// Makes the stream carry whole old rows of one partition.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn set_identity_of_partition(
    connection: &Connection,
    partition: &LackingPartition,
) -> Result<()> {
    in_short_lock(connection, &partition.sql)
        .await
        .map_err(|error| identity_fault(&partition.label, error))
}

fn identity_fault(label: &str, error: tokio_postgres::Error) -> Fault {
    sql_fault(format!("cannot set the replica identity of {label}"), error)
        .next_step("run it again when the table is less busy: it needs a short exclusive lock")
}

/// Runs statements that take a short lock, in one transaction. Waits for the lock at most two
/// seconds, because everything else would queue behind that wait.
async fn in_short_lock(connection: &Connection, sql: &str) -> Result<(), tokio_postgres::Error> {
    let sql = format!("begin; set local lock_timeout = '2s'; {sql}; commit");
    let done = connection.batch_execute(&sql).await;
    if done.is_err() {
        // The failed transaction is still open; if this fails too, the connection is gone.
        let _ = connection.batch_execute("rollback").await;
    }
    done
}
