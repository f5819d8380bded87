//! From stream messages to the batch that fills.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::attributes::Attributes;
use crate::decode::{Change, Message, Relation, decode};
use crate::event::{Capture, Draft, Drafter, EventIds, Shape, TypeCatalog};
use crate::event_log::{Batch, Transaction, TransactionEnd};
use crate::fault::{Fault, Result};
use crate::wal::{Connection, Lsn, Received, catalog};

/// What a look into the source's catalogs may take.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Turns what the stream brings into a batch of events.
pub(super) struct Intake {
    capture: Arc<Capture>,
    /// For what the stream does not say about a relation.
    catalogs: Connection,
    types: TypeCatalog,
    attributes: Attributes,
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
        ids: EventIds,
        logged: Lsn,
        next_sequence_id: i64,
        keep: bool,
    ) -> Self {
        Self {
            capture,
            catalogs,
            types: TypeCatalog::default(),
            attributes: Attributes::default(),
            shapes: HashMap::new(),
            ids,
            drafter: Drafter::default(),
            logged,
            running: None,
            keep,
            batch: Batch::new(next_sequence_id),
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
            self.batch.commit(TransactionEnd {
                commit_lsn,
                end_lsn,
                commit_time,
            });
        }
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
            Message::Change(change) => {
                self.follow_types(change.relation).await?;
                self.change(&change)?;
            }
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
                .learn(in_time(catalog::types(&self.catalogs, &unknown)).await?);
        }
        self.attributes.note(relation, &self.types);
        self.shape(relation).await
    }

    async fn shape(&mut self, relation: &Relation) -> Result<()> {
        let primary_key = in_time(catalog::primary_key(&self.catalogs, relation.oid)).await?;
        let rule = self.capture.rule(&relation.schema, &relation.name);
        let shape = Shape::new(relation, rule, &primary_key, &self.types);
        self.shapes.insert(relation.oid, Some(Arc::new(shape)));
        Ok(())
    }

    async fn follow_types(&mut self, relation: u32) -> Result<()> {
        let (attributes, running) = (&mut self.attributes, self.running.as_ref());
        let commit_time = running.map(|running| running.transaction.commit_time);
        let outdated = commit_time.and_then(|time| attributes.outdated(relation, time));
        let Some(outdated) = outdated.cloned() else {
            return Ok(());
        };
        in_time(attributes.refresh(relation, &self.catalogs, &mut self.types)).await?;
        self.shape(&outdated).await
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

/// Catalogs that do not answer are as good as gone; the stream must not wait for them for ever.
async fn in_time<T>(question: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(CATALOG_TIMEOUT, question).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault::transient("the source's catalogs do not answer")),
    }
}
