//! The one writer of the log: events and checkpoint commit in one transaction.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::SinkExt;
use jiff::Timestamp;
use tokio_postgres::{CopyInSink, Statement};

use super::backfills;
use super::checkpoint::{Checkpoint, Durable, to_pg};
use super::chunk::{Chunk, End, TransactionEnd};
use super::copy::{COPY_EVENTS, HEADER, TRAILER};
use super::history::{self, LastEvent};
use super::objects::{self, Object};
use super::{LogSettings, scheduled, segments};
use crate::event::unix_micros;
use crate::failpoint;
use crate::fault::{Fault, Result};
use crate::wal::{Connection, Lsn, Target, server_error::sql_fault};

/// A log database that takes longer for one step is treated as gone. The transaction's fate is
/// then read from the checkpoint.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes of one message of a COPY: each is copied on its way, and the copy's buffer stays.
const PIECE_BYTES: usize = 256 << 10;

/// Appends to the log under one epoch.
pub struct Writer {
    connection: Connection,
    epoch: i64,
    commit_lsn: Lsn,
    next_sequence_id: i64,
    segment_size: i64,
    target: Target,
    /// Where the last segment ends: ids from here on have no place yet.
    segments_end: i64,
    /// Readers of the log that a new segment does not wait for.
    outlasting: Vec<String>,
    copying: Option<Pin<Box<CopyInSink<Bytes>>>>,
    statements: Statements,
}

struct Statements {
    copy: Statement,
    advance: Statement,
}

/// What all sessions of a writer are called, and only they.
const APPLICATION: &str = "rowhook writer";

impl Writer {
    /// Ends the sessions of earlier writers in this database, and waits until they are gone.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn end_cut_off(connection: &Connection) -> Result<()> {
        connection
            .execute(END_CUT_OFF_WRITERS, &[])
            .await
            .map_err(|error| sql_fault("cannot end an earlier writer of the log", error))?;
        Ok(())
    }

    /// A writer for the epoch that `checkpoint` was claimed with.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn open(
        connection: Connection,
        checkpoint: &Checkpoint,
        settings: &LogSettings,
    ) -> Result<Self> {
        let fault = |error| sql_fault("cannot prepare the log", error);
        connection
            .batch_execute(COMPRESS_BY_LZ4)
            .await
            .map_err(fault)?;
        let statements = Statements {
            copy: connection.prepare(COPY_EVENTS).await.map_err(fault)?,
            advance: connection
                .prepare("select rowhook.advance_checkpoint($1, $2, $3, $4, $5)")
                .await
                .map_err(fault)?,
        };
        Ok(Self {
            epoch: checkpoint.epoch,
            commit_lsn: checkpoint.commit_lsn,
            next_sequence_id: checkpoint.next_sequence_id,
            segments_end: 0,
            outlasting: Vec::new(),
            copying: None,
            segment_size: settings.segment_size,
            target: settings.target.clone(),
            connection,
            statements,
        })
    }

    /// The connection, to watch for its end.
    #[must_use]
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Appends a chunk. Where it ends a transaction, everything since the last one is committed
    /// together with the checkpoint; else the COPY stays open for the rest of that transaction. A
    /// position alone only moves the checkpoint.
    ///
    /// # Errors
    /// Fenced if another writer claimed the log; transient if the database is gone, full or read-only.
    /// After an error the writer is done: what was committed stands in the checkpoint.
    pub async fn append(&mut self, chunk: &Chunk) -> Result<Option<Durable>> {
        if chunk.count > 0 {
            within(self.send(chunk)).await?;
        }
        match chunk.end {
            End::Transaction(end) => within(self.commit(end, chunk)).await.map(Some),
            End::Position(position) => within(self.skip_to(position)).await.map(Some),
            End::Open => {
                failpoint::pass("log.part")?;
                Ok(None)
            }
        }
    }

    async fn skip_to(&self, position: Lsn) -> Result<Durable> {
        failpoint::pass("log.position")?;
        self.advance(position, self.next_sequence_id, None).await?;
        failpoint::pass("log.positioned")?;
        Ok(Durable::committed(position))
    }

    async fn send(&mut self, chunk: &Chunk) -> Result<()> {
        let fault = |error| sql_fault("cannot append to the log", error);
        if chunk.next_sequence_id > self.segments_end {
            self.make_room(chunk.next_sequence_id).await?;
        }
        if self.copying.is_none() {
            failpoint::pass("log.begin")?;
            let begin = self.connection.batch_execute("begin");
            let copy = self.connection.copy_in::<_, Bytes>(&self.statements.copy);
            let (_, sink) = tokio::try_join!(begin, copy).map_err(fault)?;
            let mut sink = Box::pin(sink);
            sink.feed(Bytes::from_static(HEADER)).await.map_err(fault)?;
            self.copying = Some(sink);
            failpoint::pass("log.begun")?;
        }
        if let Some(sink) = &mut self.copying {
            let mut rows = chunk.rows.clone();
            while !rows.is_empty() {
                let piece = rows.split_to(rows.len().min(PIECE_BYTES));
                sink.feed(piece).await.map_err(fault)?;
            }
            sink.flush().await.map_err(fault)?;
            failpoint::pass("log.rows")?;
        }
        Ok(())
    }

    async fn commit(&mut self, end: TransactionEnd, chunk: &Chunk) -> Result<Durable> {
        let fault = |error| sql_fault("cannot commit to the log", error);
        self.commit_lsn = end.commit_lsn;
        if !chunk.progress.is_empty() || !chunk.scheduled.is_empty() {
            self.note(chunk).await?;
        }
        let Some(mut sink) = self.copying.take() else {
            return self.skip_to(end.end_lsn).await;
        };
        sink.feed(Bytes::from_static(TRAILER))
            .await
            .map_err(fault)?;
        let finish = async { sink.as_mut().finish().await.map_err(fault) };
        let advance = async {
            failpoint::pass("log.copied")?;
            self.advance(end.end_lsn, chunk.next_sequence_id, end.commit_time)
                .await
        };
        let commit = async {
            failpoint::pass("log.checkpointed")?;
            self.connection.batch_execute("commit").await.map_err(fault)
        };
        // All three travel together. If one of the first two fails, the transaction is aborted and
        // the commit is a rollback; the first error is the one that is reported.
        let (finished, advanced, committed) = futures_util::join!(finish, advance, commit);
        finished?;
        advanced?;
        committed?;
        self.next_sequence_id = chunk.next_sequence_id;
        failpoint::pass("log.committed")?;
        Ok(Durable::committed(end.end_lsn))
    }

    /// Notes what the chunk adds to backfills, and which scheduled events it logs, in its transaction;
    /// begins one where it has no rows.
    async fn note(&mut self, chunk: &Chunk) -> Result<()> {
        let fault = |error| sql_fault("cannot note what is logged", error);
        if !self.end_copy().await? {
            self.connection
                .batch_execute("begin")
                .await
                .map_err(fault)?;
        }
        for progress in &chunk.progress {
            backfills::advance(&self.connection, progress).await?;
        }
        if !chunk.scheduled.is_empty() {
            scheduled::settle(&self.connection, &chunk.scheduled).await?;
            failpoint::pass("log.scheduled")?;
        }
        self.begin_copy().await
    }

    async fn advance(
        &self,
        position: Lsn,
        next_sequence_id: i64,
        commit_time: Option<i64>,
    ) -> Result<()> {
        let committed_at =
            commit_time.and_then(|time| Timestamp::from_microsecond(unix_micros(time)).ok());
        self.connection
            .execute(
                &self.statements.advance,
                &[
                    &self.epoch,
                    &to_pg(self.commit_lsn),
                    &to_pg(position),
                    &next_sequence_id,
                    &committed_at,
                ],
            )
            .await
            .map_err(|error| sql_fault("cannot move the checkpoint", error))?;
        Ok(())
    }

    /// The records of these rows' last events, what was appended and not committed included: see
    /// [`history`].
    ///
    /// # Errors
    /// Transient if the database is gone. After an error the writer is done.
    pub async fn last_events(&mut self, rows: &[LastEvent]) -> Result<Vec<Option<ByteString>>> {
        within(async {
            let was_open = self.end_copy().await?;
            let records = history::last_events(&self.connection, rows).await?;
            if was_open {
                self.begin_copy().await?;
            }
            Ok(records)
        })
        .await
    }

    /// The records of these objects, what was appended and not committed included: see [`objects`].
    ///
    /// # Errors
    /// Transient if the database is gone. After an error the writer is done.
    pub async fn objects(&mut self, wanted: &[Object]) -> Result<Vec<Option<ByteString>>> {
        within(async {
            let was_open = self.end_copy().await?;
            let records = objects::newest(&self.connection, wanted).await?;
            if was_open {
                self.begin_copy().await?;
            }
            Ok(records)
        })
        .await
    }

    /// Ends the COPY, if one is open; the transaction goes on.
    async fn end_copy(&mut self) -> Result<bool> {
        let fault = |error| sql_fault("cannot append to the log", error);
        let Some(mut sink) = self.copying.take() else {
            return Ok(false);
        };
        sink.feed(Bytes::from_static(TRAILER))
            .await
            .map_err(fault)?;
        sink.as_mut().finish().await.map_err(fault)?;
        Ok(true)
    }

    /// Begins another COPY in the same transaction.
    async fn begin_copy(&mut self) -> Result<()> {
        let fault = |error| sql_fault("cannot append to the log", error);
        let sink = self.connection.copy_in(&self.statements.copy).await;
        let mut sink = Box::pin(sink.map_err(fault)?);
        sink.feed(Bytes::from_static(HEADER)).await.map_err(fault)?;
        self.copying = Some(sink);
        Ok(())
    }

    /// Adds segments. A COPY routes rows among the partitions that it saw when it began, so one
    /// that is open is finished first; the transaction goes on. The segments are another
    /// transaction's, for they have to be there before this one commits.
    async fn make_room(&mut self, end: i64) -> Result<()> {
        failpoint::pass("log.segment")?;
        let size = self.segment_size;
        if !self.end_copy().await? {
            self.segments_end =
                segments::make_room(&self.connection, end, size, &mut self.outlasting).await?;
            return failpoint::pass("log.segment_added");
        }
        let beside = Connection::open(&self.target, APPLICATION).await?;
        self.segments_end = segments::make_room(&beside, end, size, &mut self.outlasting).await?;
        failpoint::pass("log.segment_added")?;
        self.begin_copy().await?;
        Ok(())
    }
}

/// Sessions of writers whose process is stopped or whose socket is gone may hold rows that a
/// successor would wait for. They all run under the writer's application name.
const END_CUT_OFF_WRITERS: &str = "select pg_catalog.pg_terminate_backend(pid, 5000) from pg_catalog.pg_stat_activity \
     where datname = pg_catalog.current_database() and usename = current_user \
       and application_name = 'rowhook writer' and pid <> pg_catalog.pg_backend_pid()";

/// Rows of more than 2 kB are compressed by the session that writes them. By pglz that is most of what a
/// wide row costs; lz4 takes a fraction of it and leaves about as many bytes. Not every server is built
/// with it, and what the operator has chosen stands.
const COMPRESS_BY_LZ4: &str = "select pg_catalog.set_config(name, 'lz4', false) from pg_catalog.pg_settings \
     where name = 'default_toast_compression' and source = 'default' and 'lz4' = any(enumvals)";

async fn within<T>(step: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(STEP_TIMEOUT, step).await {
        Ok(done) => done,
        Err(_) => Err(Fault::transient(format!(
            "the log database did not answer within {}",
            humantime::format_duration(STEP_TIMEOUT)
        ))),
    }
}
