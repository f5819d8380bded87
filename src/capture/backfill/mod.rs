//! Rows that were there before capture, as `…snapshot` events that are consistent with the stream.
//!
//! A table is read in chunks by its primary key. Each chunk is read between two watermarks, which
//! are messages in the source's WAL; the session logs its rows where the high watermark comes by,
//! without those that have changed since the low one: their events say more. Chunk and progress are
//! committed together, so that a backfill goes on where the log ends, whatever was killed.
//!
//! A transaction may stand in the WAL before the low watermark and still not be visible to the
//! chunk's snapshot. It holds its locks until it is visible, so the chunk waits for those who have
//! locked the table for writing when the low watermark was written.

mod handover;
mod source;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use handover::Handover;
pub(super) use source::PREFIX;
pub(super) use window::{Window, key_of};

use self::handover::Outcome;
use self::source::Table;
use super::Standing;
use crate::event::Capture;
use crate::event_log::Link;
use crate::event_log::backfills::{self, Backfill, State};
use crate::fault::{Fault, Kind, Result};
use crate::wal::{Connection, Source, Target};

/// How often new requests are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often those who write to the table are looked at again.
const WRITERS_INTERVAL: Duration = Duration::from_millis(20);

/// After this long, a wait is worth a word.
const TELL_AFTER: Duration = Duration::from_secs(3);

/// Rows of the first chunk: how large rows are is not known yet.
const FIRST_ROWS: u32 = 100;

/// Bytes of a chunk: below, the next one is larger; above, smaller.
const FEW_BYTES: usize = 1 << 20;
const MANY_BYTES: usize = 4 << 20;

/// Works on backfills, one after the other, while this instance streams.
pub struct Backfiller {
    /// The source.
    pub source: Source,
    /// What is captured.
    pub capture: Arc<Capture>,
    /// The log.
    pub log: Target,
    /// The way to the session that logs.
    pub handover: Arc<Handover>,
    /// Whether this instance streams.
    pub standing: watch::Receiver<Standing>,
}

/// What to do after a step.
enum Next {
    /// The next chunk.
    Chunk,
    /// The backfill has ended.
    End,
}

/// A backfill under way.
struct Work {
    source: Link,
    log: Link,
    epoch: i64,
    /// Chunks that were tried: each one gets a name of its own.
    chunks: u64,
    rows: u32,
}

impl Backfiller {
    /// Runs until asked to stop.
    ///
    /// # Errors
    /// None; what fails is told, and tried again or ended with its reason.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut work = Work {
            source: Link::new(&self.source.target, "rowhook backfill"),
            log: Link::new(&self.log, "rowhook backfill"),
            epoch: 0,
            chunks: 0,
            rows: FIRST_ROWS,
        };
        loop {
            let Some(epoch) = self.streaming(&stop).await else {
                return Ok(());
            };
            work.epoch = epoch;
            let step = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                step = self.step(&mut work) => step,
            };
            let pause = match step {
                Ok(true) => continue,
                Ok(false) => LOOK_INTERVAL,
                Err(fault) => {
                    tracing::warn!(error = %fault.cause(), "a backfill is interrupted");
                    LOOK_INTERVAL
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Waits until this instance streams; gives the epoch, or `None` if asked to stop.
    async fn streaming(&mut self, stop: &CancellationToken) -> Option<i64> {
        let streams = |standing: &Standing| matches!(standing, Standing::Streaming { .. });
        let standing = tokio::select! {
            () = stop.cancelled() => return None,
            standing = self.standing.wait_for(streams) => standing.ok()?,
        };
        match *standing {
            Standing::Streaming { epoch } => Some(epoch),
            _ => None,
        }
    }

    /// One chunk of the oldest request. `false` if there is nothing to do.
    async fn step(&self, work: &mut Work) -> Result<bool> {
        let log = work.log.connection().await?;
        let Some(backfill) = backfills::next(&log).await? else {
            return Ok(false);
        };
        let began = Instant::now();
        let logged_before = backfill.rows_logged;
        match self.chunk(work, &log, &backfill).await {
            Ok(Next::Chunk) => {
                self.throttle(&log, &backfill, logged_before, began).await?;
            }
            Ok(Next::End) => {
                work.rows = FIRST_ROWS;
                tracing::info!(table = %backfill.label(), rows = backfill.rows_logged, "backfill done");
                backfills::end(&log, backfill.id, State::Done, None).await?;
            }
            Err(fault) if fault.kind() == Kind::Transient => {
                backfills::wait(&log, backfill.id, Some(&fault.cause())).await?;
                return Err(fault);
            }
            Err(fault) => {
                tracing::error!(table = %backfill.label(), error = %fault.cause(), "backfill failed");
                let reason = fault.to_string();
                backfills::end(&log, backfill.id, State::Failed, Some(&reason)).await?;
            }
        }
        Ok(true)
    }

    async fn chunk(&self, work: &mut Work, log: &Connection, backfill: &Backfill) -> Result<Next> {
        let connection = work.source.connection().await?;
        let table = self.table(&connection, backfill).await?;
        if backfill.state == State::Waiting {
            tracing::info!(table = %backfill.label(), rows_expected = table.rows_expected, "backfill begins");
            backfills::begin(log, backfill.id, table.rows_expected).await?;
        }
        let session = self.handover.session();
        work.chunks += 1;
        let chunk = format!("{} {} {}", work.epoch, backfill.id, work.chunks);
        self.handover.offer(&chunk, table.relation.oid, &table.key);
        source::mark(&connection, "low", &chunk).await?;
        if !visible(&connection, log, backfill, table.relation.oid).await? {
            return Ok(Next::Chunk);
        }
        let bounds = [Some(backfill.chunk_rows), backfill.rows_per_second];
        let bounds = bounds
            .into_iter()
            .flatten()
            .map(|rows| u32::try_from(rows).unwrap_or(1));
        let limit = bounds.fold(work.rows, u32::min);
        let read = self
            .read(&connection, backfill, &table, &chunk, limit)
            .await;
        if read.is_err() {
            source::rollback(&connection).await;
        }
        let Some(bytes) = read? else {
            return Ok(Next::End);
        };
        work.rows = match self.handover.outcome(&chunk, session).await {
            Outcome::Logged => next_rows(limit, bytes),
            // A smaller one is more likely to see no change that spoils it.
            Outcome::Void => (limit / 4).max(1),
        };
        Ok(Next::Chunk)
    }

    /// The table, if it can be backfilled.
    async fn table(&self, connection: &Connection, backfill: &Backfill) -> Result<Table> {
        source::begin(connection).await?;
        let publication = &self.source.publication;
        let (schema, name) = (&backfill.schema, &backfill.table);
        let table = source::describe(connection, publication, schema, name).await;
        source::rollback(connection).await;
        let table = table?.ok_or_else(|| {
            Fault::permanent(format!("table {} does not exist", backfill.label()))
                .next_step("name it as schema.table")
        })?;
        if !self.capture.includes(schema, name) || !table.published {
            return Err(Fault::permanent(format!(
                "table {} is not captured, so its events could not be consistent with the stream",
                backfill.label()
            ))
            .next_step(
                "take it into capture.tables, restart the daemon, and see `rowhook check`",
            ));
        }
        if table.key.is_empty() {
            return Err(Fault::permanent(format!(
                "table {} has no primary key, which a backfill goes along",
                backfill.label()
            ))
            .next_step("alter table … add primary key (…)"));
        }
        Ok(table)
    }

    /// Reads one chunk and writes its high watermark, in one transaction: nothing changes the
    /// table's definition in between. Tells its bytes; `None` where no row is left.
    async fn read(
        &self,
        connection: &Connection,
        backfill: &Backfill,
        table: &Table,
        chunk: &str,
        limit: u32,
    ) -> Result<Option<usize>> {
        source::begin(connection).await?;
        source::lock(connection, table).await?;
        let (schema, name) = (&backfill.schema, &backfill.table);
        let now = source::describe(connection, &self.source.publication, schema, name).await?;
        let same = |now: &Table| now.relation.oid == table.relation.oid && now.key == table.key;
        let Some(now) = now.filter(same) else {
            return Err(Fault::permanent(format!(
                "table {} was replaced by another one, or got another primary key, during its backfill",
                backfill.label()
            ))
            .next_step("ask for it again with --from-start"));
        };
        let after = backfill.last_key.as_deref();
        let rows = source::read(connection, backfill.id, &now, after, limit).await?;
        let Some((rows, bytes)) = rows else {
            source::rollback(connection).await;
            return Ok(None);
        };
        self.handover.bring(chunk, rows);
        source::mark(connection, "high", chunk).await?;
        connection.batch_execute("commit").await.map_err(|error| {
            crate::wal::server_error::sql_fault("cannot write a watermark", error)
        })?;
        Ok(Some(bytes))
    }

    /// Waits as long as the rows that were logged have to take.
    async fn throttle(
        &self,
        log: &Connection,
        backfill: &Backfill,
        logged_before: i64,
        began: Instant,
    ) -> Result<()> {
        let Some(rate) = backfill.rows_per_second else {
            return Ok(());
        };
        let now = backfills::of_table(log, &backfill.schema, &backfill.table).await?;
        let logged = now.map_or(0, |now| now.rows_logged.saturating_sub(logged_before));
        let millis = logged.saturating_mul(1000) / i64::from(rate.max(1));
        let due = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        Ok(())
    }
}

/// Waits until every transaction that could stand in the WAL before the low watermark is visible.
/// `false` if the backfill was ended meanwhile.
async fn visible(
    connection: &Connection,
    log: &Connection,
    backfill: &Backfill,
    relation: u32,
) -> Result<bool> {
    let mut writing = source::writers(connection, relation).await?;
    let began = Instant::now();
    while let Some((_, process)) = writing.first() {
        let mut pause = WRITERS_INTERVAL;
        if began.elapsed() >= TELL_AFTER {
            let who = match process {
                0 => "a prepared transaction".to_owned(),
                process => format!("the transaction of server process {process}"),
            };
            let reason = format!("waits for {who}, which has written to the table, to end");
            if !backfills::wait(log, backfill.id, Some(&reason)).await? {
                return Ok(false);
            }
            pause = LOOK_INTERVAL;
        }
        tokio::time::sleep(pause).await;
        let now = source::writers(connection, relation).await?;
        writing.retain(|writer| now.contains(writer));
    }
    if began.elapsed() >= TELL_AFTER {
        backfills::wait(log, backfill.id, None).await?;
    }
    Ok(true)
}

/// How many rows the next chunk may have, given what the last one brought.
fn next_rows(rows: u32, bytes: usize) -> u32 {
    match bytes {
        bytes if bytes < FEW_BYTES => rows.saturating_mul(4).min(1_000_000),
        bytes if bytes > MANY_BYTES => (rows / 4).max(1),
        _ => rows,
    }
}
