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
use crate::beat::beat;
use crate::event::Capture;
use crate::event_log::Link;
use crate::event_log::backfills::{self, Backfill, State};
use crate::failpoint::between_looks;
use crate::fault::{Fault, Kind, Result};
use crate::wal::{Connection, Source, Target};

/// How often new requests are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often those who write to the table are looked at again.
const WRITERS_INTERVAL: Duration = Duration::from_millis(20);

/// After this long, a wait is worth a word.
const TELL_AFTER: Duration = Duration::from_secs(3);

/// Rows of the first chunk: how large rows are is not known yet.
const FIRST_ROWS: usize = 100;

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
    rows: usize,
    /// Faults of the source, which answered all the while, since the last chunk that was logged.
    refusals: u32,
    /// Chunks that were spoiled since then.
    spoiled: u32,
}

/// A source that refuses a chunk so often will go on to.
const MOST_REFUSALS: u32 = 10;

/// A table of which so many chunks in a row are spoiled is too busy to be told row by row.
const MOST_SPOILED: u32 = 100;

impl Backfiller {
    /// Runs until asked to stop.
    ///
    /// # Errors
    /// None; what fails is told, and tried again or ended with its reason.
    pub async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let mut work = Work {
            source: Link::new(&self.source.target, "rowhook backfill"),
            log: Link::new(&self.log, "rowhook backfill"),
            rows: FIRST_ROWS,
            refusals: 0,
            spoiled: 0,
        };
        while self.streaming(&stop).await {
            let step = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                step = self.step(&mut work) => step,
            };
            let pause = match step {
                Ok(true) => continue,
                Ok(false) => between_looks(LOOK_INTERVAL),
                Err(fault) => {
                    tracing::warn!(error = %fault.cause(), "a backfill is interrupted");
                    LOOK_INTERVAL
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = beat(pause) => {}
            }
        }
        Ok(())
    }

    /// Waits until this instance streams; `false` if asked to stop.
    async fn streaming(&mut self, stop: &CancellationToken) -> bool {
        let streams = |standing: &Standing| matches!(standing, Standing::Streaming { .. });
        tokio::select! {
            () = stop.cancelled() => false,
            standing = self.standing.wait_for(streams) => standing.is_ok(),
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
        let done = self.chunk(work, &log, &backfill).await;
        // Nothing more comes of a chunk that is still on offer.
        self.handover.revoke();
        match done {
            Ok(Next::Chunk) => {
                self.throttle(&log, &backfill, logged_before, began).await?;
            }
            Ok(Next::End) => {
                work.begin_anew();
                tracing::info!(table = %backfill.label(), rows = backfill.rows_logged, "backfill done");
                backfills::end(&log, backfill.id, State::Done, None).await?;
            }
            Err(fault) if fault.kind() == Kind::Transient && !work.is_refused().await => {
                backfills::wait(&log, backfill.id, Some(&fault.cause())).await?;
                return Err(fault);
            }
            Err(fault) => {
                work.begin_anew();
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
        if backfill.last_key.is_some() {
            walks_as_before(backfill, &table)?;
        }
        if backfill.state == State::Waiting {
            tracing::info!(table = %backfill.label(), rows_expected = table.rows_expected, "backfill begins");
            backfills::begin(log, backfill.id, table.rows_expected, &table.walks()).await?;
        }
        let session = self.handover.session();
        // Anybody may write messages into the WAL; nobody else knows this name.
        let chunk = format!("{:032x}", rand::random::<u128>());
        self.handover.offer(&chunk, table.relation.oid, &table.key);
        source::mark(&connection, "low", &chunk).await?;
        if !visible(&connection, log, backfill, table.relation.oid).await? {
            return Ok(Next::Chunk);
        }
        let bounds = [Some(backfill.chunk_rows), backfill.rows_per_second];
        let bounds = bounds
            .into_iter()
            .flatten()
            .map(|rows| usize::try_from(rows).unwrap_or(1));
        let limit = bounds.fold(work.rows, usize::min);
        let read = self
            .read(&connection, backfill, &table, &chunk, limit)
            .await;
        if read.is_err() {
            source::rollback(&connection).await;
        }
        let Some(bytes) = read? else {
            return Ok(Next::End);
        };
        match self.handover.outcome(&chunk, session).await {
            Outcome::Logged => {
                work.rows = next_rows(limit, bytes);
                (work.refusals, work.spoiled) = (0, 0);
            }
            Outcome::Spoiled => {
                // A smaller one is more likely to see no change that spoils it.
                work.rows = (limit / 4).max(1);
                work.spoiled += 1;
                return work.still_spoils(&table);
            }
            Outcome::Void => {}
        }
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
        if table.filtered {
            return Err(Fault::permanent(format!(
                "the publication has a row filter or a column list for {}, so the stream does not carry what a \
                 backfill would read",
                backfill.label()
            ))
            .next_step("publish the whole table; `rowhook check` prints how"));
        }
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
        limit: usize,
    ) -> Result<Option<usize>> {
        source::begin(connection).await?;
        source::lock(connection, table).await?;
        let (schema, name) = (&backfill.schema, &backfill.table);
        let now = source::describe(connection, &self.source.publication, schema, name).await?;
        let Some(now) = now.filter(|now| now.walks() == table.walks()) else {
            return Err(replaced(backfill));
        };
        let after = backfill.last_key.as_deref();
        let rows = source::read(connection, backfill.id, &now, after, limit, MANY_BYTES).await?;
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

impl Work {
    fn begin_anew(&mut self) {
        self.rows = FIRST_ROWS;
        (self.refusals, self.spoiled) = (0, 0);
    }

    /// Counts a fault of a source that is there; `true` if it will not take the chunk.
    async fn is_refused(&mut self) -> bool {
        let is_there = self
            .source
            .connection()
            .await
            .is_ok_and(|connection| !connection.is_ended());
        self.refusals += u32::from(is_there);
        self.refusals >= MOST_REFUSALS
    }

    fn still_spoils(&self, table: &Table) -> Result<Next> {
        if self.spoiled < MOST_SPOILED {
            return Ok(Next::Chunk);
        }
        Err(Fault::permanent(format!(
            "{MOST_SPOILED} chunks of {} in a row saw changes of which the stream does not say which rows they are of",
            table.label()
        ))
        .next_step(
            "try when it is less busy, or make its replica identity the primary key or full",
        ))
    }
}

/// A key means nothing in another table, or under another primary key.
fn walks_as_before(backfill: &Backfill, table: &Table) -> Result<()> {
    if backfill.walks.as_deref() == Some(&table.walks()) {
        return Ok(());
    }
    Err(replaced(backfill))
}

fn replaced(backfill: &Backfill) -> Fault {
    Fault::permanent(format!(
        "table {} was replaced by another one, or got another primary key, during its backfill",
        backfill.label()
    ))
    .next_step("ask for it again with --from-start")
}

/// How many rows the next chunk may have, given what the last one brought.
fn next_rows(rows: usize, bytes: usize) -> usize {
    match bytes {
        bytes if bytes < FEW_BYTES => rows.saturating_mul(4).min(1_000_000),
        bytes if bytes > MANY_BYTES => (rows / 4).max(1),
        _ => rows,
    }
}
