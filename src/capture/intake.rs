//! From stream messages to the batch that fills.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::decode::{Change, Message, Relation, decode};
use crate::event::{
    Capture, Draft, Drafter, EventIds, KnownKeys, RowsOf, Shape, TypeCatalog, key_of,
    postgres_micros, unix_micros,
};
use crate::event_log::{Batch, Checkpoint, Link, Note, Transaction, TransactionEnd, keys};
use crate::fault::{Fault, Result};
use crate::wal::{Connection, Lsn, Received, catalog};

/// Who is asked most.
const CATALOGS: &str = "the source's database";

/// What a look into the source's catalogs may take.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Turns what the stream brings into a batch of events.
pub(super) struct Intake {
    capture: Arc<Capture>,
    /// For what the stream does not say about a relation.
    catalogs: Connection,
    /// The log, for the keys that relations had.
    log: Link,
    types: TypeCatalog,
    /// By relation; `None` for one that is not captured.
    shapes: HashMap<u32, Option<Arc<Shape>>>,
    ids: EventIds,
    drafter: Drafter,
    /// Transactions up to this commit record are in the log already.
    logged: Lsn,
    running: Option<Running>,
    /// Whether readers want events from memory.
    keep: bool,
    pub(super) batch: Batch,
    /// Where the last transaction with something to log ended: its commit record, and its end.
    last_end: (Lsn, Lsn),
    /// Up to here the stream has brought nothing that is not in a batch.
    pub(super) position: Lsn,
}

/// The transaction that is being streamed.
struct Running {
    transaction: Transaction,
    next_index: u64,
    already_logged: bool,
}

impl Intake {
    pub(super) fn new(
        capture: Arc<Capture>,
        catalogs: Connection,
        log: Link,
        ids: EventIds,
        checkpoint: &Checkpoint,
        keep: bool,
    ) -> Self {
        Self {
            capture,
            catalogs,
            log,
            types: TypeCatalog::default(),
            shapes: HashMap::new(),
            ids,
            drafter: Drafter::default(),
            logged: checkpoint.commit_lsn,
            last_end: (checkpoint.commit_lsn, checkpoint.acknowledged_lsn),
            running: None,
            keep,
            batch: Batch::new(checkpoint.next_sequence_id),
            position: Lsn::INVALID,
        }
    }

    /// Whether the stream stands between two transactions.
    pub(super) fn between_transactions(&self) -> bool {
        self.running.is_none()
    }

    /// Takes one message in; `true` where it ends a transaction.
    ///
    /// # Errors
    /// Permanent where the stream does not follow its protocol; transient where the catalogs
    /// cannot be asked.
    pub(super) async fn take(&mut self, received: Received) -> Result<bool> {
        match received {
            Received::Data(bytes) => self.data(&bytes).await,
            Received::CaughtUp { wal_end } => {
                if self.running.is_none() {
                    self.position = self.position.max(wal_end);
                }
                Ok(false)
            }
        }
    }

    fn begin(&mut self, commit_lsn: Lsn, commit_time: i64, xid: u32) {
        self.running = Some(Running {
            transaction: Transaction {
                commit_lsn,
                commit_time,
                xid,
            },
            next_index: 0,
            already_logged: commit_lsn <= self.logged,
        });
    }

    fn commit(&mut self, end_lsn: Lsn) {
        let Some(running) = self.running.take() else {
            return;
        };
        let Transaction {
            commit_lsn,
            commit_time,
            ..
        } = running.transaction;
        // A transaction with nothing to log is only a position.
        if self.batch.at_boundary() && !self.batch.has_events() {
            self.position = self.position.max(end_lsn);
        } else {
            self.last_end = (commit_lsn, end_lsn);
            self.batch.commit(TransactionEnd {
                commit_lsn,
                end_lsn,
                commit_time: Some(commit_time),
            });
        }
    }

    /// Adds a note, between two transactions of the source. It moves no position but to where the
    /// stream is.
    ///
    /// # Errors
    /// If it is longer than Postgres can store.
    pub(super) fn note(&mut self, note: Note) -> Result<()> {
        let (commit_lsn, end_lsn) = self.last_end;
        let end_lsn = end_lsn.max(self.position);
        self.last_end = (commit_lsn, end_lsn);
        let now = postgres_micros(Timestamp::now().as_microsecond());
        let place = Transaction {
            commit_lsn: end_lsn,
            commit_time: now,
            xid: 0,
        };
        let shape = Arc::new(Shape::of_notes(&note.event_type));
        let record = note.record.to_string();
        let draft = Draft::noted(record.as_bytes());
        // No row change has such an index; two notes of one moment differ by their sequence ids.
        let index = u64::MAX - self.batch.next_sequence_id().unsigned_abs();
        let event_id = self.ids.id(now, end_lsn, index);
        self.batch
            .push(&place, 0, event_id, &shape, &draft, self.keep)
            .map_err(|error| {
                Fault::permanent(format!("event {} cannot be logged", note.event_type))
                    .because(error)
            })?;
        self.batch.commit(TransactionEnd {
            commit_lsn,
            end_lsn,
            commit_time: None,
        });
        self.batch.tell_when_durable(note.done);
        Ok(())
    }

    async fn data(&mut self, bytes: &[u8]) -> Result<bool> {
        let message = decode(bytes).map_err(|error| {
            Fault::permanent("the replication stream brought a message that cannot be read")
                .because(error)
                .next_step("report this with the server's version; the slot still holds the change")
        })?;
        match message {
            Message::Begin {
                commit_lsn,
                commit_time,
                xid,
            } => self.begin(commit_lsn, commit_time, xid),
            Message::Commit { end_lsn, .. } => {
                self.commit(end_lsn);
                return Ok(true);
            }
            Message::Relation(relation) => self.relation(&relation).await?,
            Message::Change(change) => self.change(&change)?,
            Message::Truncate { relations, .. } => {
                relations
                    .into_iter()
                    .try_for_each(|relation| self.push(relation, None))?;
            }
            // Names of types and origins are not needed; logical messages are not asked for.
            Message::Logical { .. } | Message::Origin { .. } | Message::Type { .. } => {}
        }
        Ok(false)
    }

    async fn relation(&mut self, relation: &Relation) -> Result<()> {
        if !self.capture.includes(&relation.schema, &relation.name) {
            self.shapes.insert(relation.oid, None);
            return Ok(());
        }
        let unknown: Vec<u32> = relation
            .columns
            .iter()
            .map(|column| column.type_oid)
            .filter(|oid| !self.types.knows(*oid))
            .collect();
        if !unknown.is_empty() {
            self.types
                .learn(in_time(CATALOGS, catalog::types(&self.catalogs, &unknown)).await?);
        }
        let shape = self.shape(relation).await?;
        self.shapes.insert(relation.oid, Some(Arc::new(shape)));
        Ok(())
    }

    /// Works out how rows of a relation are read, by the key of their time.
    async fn shape(&mut self, relation: &Relation) -> Result<Shape> {
        let found = in_time(
            CATALOGS,
            catalog::row_identity(&self.catalogs, relation.oid),
        )
        .await?;
        let is_gone = found.is_none();
        let identity = found.unwrap_or_default();
        let noting = async {
            let log = self.log.connection().await?;
            keys::note(&log, relation.oid, &identity.primary_key).await
        };
        let known = KnownKeys {
            noted: in_time("the log", noting).await?,
            today: identity.primary_key,
            made_by: identity.made_by,
        };
        let rows = self.rows();
        let rule = self.capture.rule(&relation.schema, &relation.name);
        let key = key_of(relation, rule, &known, rows);
        let shape = Shape::new(relation, rule, &key, &self.types);
        Ok(match (identity.partitioned, is_gone) {
            (true, _) => shape.in_partitions(&identity.part_columns),
            // Nothing says whether it had partitions.
            (false, true) => shape.in_partitions(&key),
            (false, false) => shape,
        })
    }

    /// The transaction that is being streamed. A relation is never sent outside of one.
    fn rows(&self) -> RowsOf {
        let transaction = self.running.as_ref().map(|running| running.transaction);
        RowsOf {
            xid: transaction.map_or(0, |transaction| transaction.xid),
            committed_at: transaction.map_or(0, |it| unix_micros(it.commit_time)),
        }
    }

    fn change(&mut self, change: &Change<'_>) -> Result<()> {
        self.push(change.relation, Some(change))
    }

    /// Adds the event of a row change; without one, of a TRUNCATE.
    fn push(&mut self, relation: u32, change: Option<&Change<'_>>) -> Result<()> {
        let Some(running) = &mut self.running else {
            return Err(Fault::permanent(
                "the replication stream brought a change outside of a transaction",
            ));
        };
        let index = running.next_index;
        running.next_index += 1;
        if running.already_logged {
            return Ok(());
        }
        let shape = match self.shapes.get(&relation) {
            Some(Some(shape)) => shape,
            Some(None) => return Ok(()),
            None => {
                return Err(Fault::permanent(format!(
                    "the replication stream brought a change of relation {relation} before its shape"
                )));
            }
        };
        let draft = match change {
            Some(change) => self.drafter.draft(shape, &change.row).map_err(|error| {
                Fault::permanent("the replication stream does not fit its own description")
                    .because(error)
            })?,
            None => Draft::truncated(),
        };
        let Transaction {
            commit_lsn,
            commit_time,
            ..
        } = running.transaction;
        let event_id = self.ids.id(commit_time, commit_lsn, index);
        self.batch
            .push(
                &running.transaction,
                index,
                event_id,
                shape,
                &draft,
                self.keep,
            )
            .map_err(|error| {
                Fault::permanent(format!(
                    "a row of {}.{} cannot be logged",
                    shape.schema, shape.table
                ))
                .because(error)
                .next_step("leave the column out with `exclude` in a [[resource]] for this table")
            })
    }
}

/// A database that does not answer is as good as gone; the stream must not wait for it for ever.
async fn in_time<T>(whom: &str, question: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(CATALOG_TIMEOUT, question).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault::transient(format!("{whom} does not answer"))),
    }
}
