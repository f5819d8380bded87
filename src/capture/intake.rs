//! From stream messages to the batch that fills.

mod emitting;
mod recalling;
mod relations;
mod scheduled;
mod snapshots;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use jiff::Timestamp;

use super::attributes::Attributes;
use super::backfill::{self, Handover, Window};
use super::histories::KnownHistories;
use super::objects::Objects;
use super::recall::{Held, Recall};
use crate::decode::{Change, Message, Relation, RowChange, decode};
use crate::event::{
    CONTEXT_PREFIX, Capture, Draft, Drafter, EMIT_PREFIX, EventIds, Fields, MisfitRow, Shape,
    TypeCatalog, merged_context, postgres_micros,
};
use crate::event_log::erasures::ERASED;
use crate::event_log::history::History;
use crate::event_log::scheduled::Due;
use crate::event_log::{Batch, Checkpoint, Chunk, Note, Transaction, TransactionEnd};
use crate::fault::{Fault, Result};
use crate::wal::{Connection, Lsn, Received, Timelines};

pub(super) use self::emitting::Question;

/// Who is asked most.
const CATALOGS: &str = "the source's database";

/// What a look into the source's catalogs may take.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows whose last events the log is asked for at once.
const MOST_ASKED: usize = 256;

/// Turns what the stream brings into a batch of events.
pub(super) struct Intake {
    capture: Arc<Capture>,
    /// For what the stream does not say about a relation.
    catalogs: Connection,
    types: TypeCatalog,
    attributes: Attributes,
    /// By relation; `None` for one that is not captured.
    shapes: HashMap<u32, Option<Known>>,
    /// As the stream has described them.
    relations: HashMap<u32, Relation>,
    histories: KnownHistories,
    recall: Recall,
    /// What custom events are about.
    objects: Objects,
    /// Scheduled events that wait until the log has told of their objects.
    due: Option<Due>,
    held: Held,
    /// How many rows the log is asked for at once: fewer where its answers are cut short.
    ask: usize,
    handover: Arc<Handover>,
    /// Between the watermarks of a chunk.
    window: Option<Window>,
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

/// What an event is made of.
enum Content<'a> {
    /// A row change.
    Change(&'a RowChange<'a>),
    /// A row as a backfill found it.
    Snapshot(&'a RowChange<'a>),
    /// A TRUNCATE.
    Truncate,
}

/// A relation whose rows become events.
#[derive(Clone)]
struct Known {
    shape: Arc<Shape>,
    /// Where its old rows come from the log: from where on they do.
    history: Option<History>,
}

/// What became of a message.
enum Step {
    /// It was taken in.
    Taken,
    /// It was taken in and ended a transaction.
    Ended,
    /// It waits for the last event of a row.
    Lacks,
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
        checkpoint: &Checkpoint,
        timelines: &Timelines,
        keep: bool,
        histories: KnownHistories,
        handover: Arc<Handover>,
    ) -> Self {
        handover.session_began();
        Self {
            handover,
            window: None,
            capture,
            catalogs,
            types: TypeCatalog::default(),
            attributes: Attributes::default(),
            shapes: HashMap::new(),
            relations: HashMap::new(),
            histories,
            recall: Recall::default(),
            objects: Objects::default(),
            due: None,
            held: Held::default(),
            ask: MOST_ASKED,
            ids: EventIds::new(
                &checkpoint.system_identifier,
                timelines,
                &checkpoint.database,
            ),
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
        self.running.is_none() && !self.waits()
    }

    /// Bytes of messages that wait for rows of the log.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// Whether messages or scheduled events wait for rows of the log.
    pub(super) fn waits(&self) -> bool {
        !self.held.is_empty() || self.due.is_some()
    }

    /// Takes what has gathered in the batch.
    pub(super) fn take_batch(&mut self) -> Chunk {
        self.recall.handed_over();
        self.objects.handed_over();
        self.batch.take()
    }

    /// Takes the transactions that are complete in the batch; `None` where there are none.
    pub(super) fn take_complete(&mut self) -> Option<Chunk> {
        let chunk = self.batch.take_complete()?;
        self.recall.handed_over();
        self.objects.handed_over();
        Some(chunk)
    }

    /// Takes one message in; `true` where it ends a transaction.
    ///
    /// # Errors
    /// Permanent where the stream does not follow its protocol; transient where the catalogs
    /// cannot be asked.
    pub(super) async fn take(&mut self, received: Received) -> Result<bool> {
        match received {
            Received::Data { message, .. } if !self.waits() => match self.data(&message).await? {
                Step::Taken => Ok(false),
                Step::Ended => Ok(true),
                Step::Lacks => {
                    self.held.push(message);
                    Ok(false)
                }
            },
            Received::Data { message, .. } => {
                self.held.push(message);
                Ok(false)
            }
            Received::Aside => Ok(false),
            Received::CaughtUp { wal_end } => {
                if self.between_transactions() {
                    self.position = self.position.max(wal_end);
                }
                Ok(false)
            }
        }
    }

    fn begin(&mut self, commit_lsn: Lsn, commit_time: i64, xid: u32) {
        // Of a chunk that was given up no high watermark comes.
        self.window
            .take_if(|window| self.handover.on_offer(&window.chunk).is_none());
        self.running = Some(Running {
            transaction: Transaction {
                commit_lsn,
                commit_time,
                xid,
                context: None,
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
        if self.batch.at_boundary() && !self.batch.has_content() {
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
        if note.event_type == ERASED {
            self.forget_erased(&note.record);
        }
        let (place, end) = self.own_place();
        let shape = Arc::new(Shape::of_notes(&note.event_type));
        let record = note.record.to_string();
        let draft = Draft::noted(record.as_bytes());
        // No row change has such an index; two notes of one moment differ by their sequence ids.
        let index = u64::MAX - self.batch.next_sequence_id().unsigned_abs();
        let event_id = self.ids.id(place.commit_time, place.commit_lsn, index);
        self.batch
            .push(&place, 0, event_id, &shape, &draft, self.keep)
            .map_err(|error| {
                Fault::permanent(format!("event {} cannot be logged", note.event_type))
                    .because(error)
            })?;
        self.batch.commit(end);
        self.batch.tell_when_durable(note.done);
        Ok(())
    }

    /// The place of what is logged between two transactions of the source, and where that ends.
    fn own_place(&mut self) -> (Transaction, TransactionEnd) {
        let (commit_lsn, end_lsn) = self.last_end;
        let end_lsn = end_lsn.max(self.position);
        self.last_end = (commit_lsn, end_lsn);
        let place = Transaction {
            commit_lsn: end_lsn,
            commit_time: postgres_micros(Timestamp::now().as_microsecond()),
            xid: 0,
            context: None,
        };
        let end = TransactionEnd {
            commit_lsn,
            end_lsn,
            commit_time: None,
        };
        (place, end)
    }

    async fn data(&mut self, bytes: &[u8]) -> Result<Step> {
        match read(bytes)? {
            Message::Begin {
                commit_lsn,
                commit_time,
                xid,
            } => self.begin(commit_lsn, commit_time, xid),
            Message::Commit { end_lsn, .. } => {
                self.commit(end_lsn);
                return Ok(Step::Ended);
            }
            Message::Relation(relation) => self.relation(&relation).await?,
            Message::Change(change) => {
                self.follow_types(change.relation).await?;
                if self.lacks_now(&change)? {
                    return Ok(Step::Lacks);
                }
                self.note_in_window(change.relation, Some(&change));
                self.push(change.relation, Some(&change))?;
            }
            Message::Truncate { relations, .. } => {
                for relation in relations {
                    self.note_in_window(relation, None);
                    self.push(relation, None)?;
                }
            }
            Message::Logical {
                transactional: true,
                prefix,
                content,
                ..
            } if prefix == backfill::PREFIX => self.watermark(content).await?,
            Message::Logical {
                transactional: true,
                prefix,
                content,
                ..
            } if prefix == CONTEXT_PREFIX => self.set_context(content),
            Message::Logical {
                transactional: true,
                prefix,
                content,
                ..
            } if prefix == EMIT_PREFIX => return self.emitted(content),
            // Names of types and origins are not needed, nor are messages of others.
            Message::Logical { .. } | Message::Origin { .. } | Message::Type { .. } => {}
        }
        Ok(Step::Taken)
    }

    /// Takes what the application says of the running transaction. Anybody can write such a message:
    /// one that says nothing must not stop the stream.
    fn set_context(&mut self, content: &[u8]) {
        let Some(running) = &mut self.running else {
            return;
        };
        let transaction = &mut running.transaction;
        match merged_context(transaction.context.as_deref(), content) {
            Ok(context) => transaction.context = context,
            Err(why) => {
                tracing::warn!(xid = transaction.xid, %why, "a context is left out of its events")
            }
        }
    }

    /// Adds the event of a row change; without one, of a TRUNCATE.
    fn push(&mut self, relation: u32, change: Option<&Change<'_>>) -> Result<()> {
        let known = match self.shapes.get(&relation) {
            Some(Some(known)) => known.clone(),
            Some(None) => return self.next_index().map(|_| ()),
            None => {
                return Err(Fault::permanent(format!(
                    "the replication stream brought a change of relation {relation} before its shape"
                )));
            }
        };
        let content = change.map_or(Content::Truncate, |change| Content::Change(&change.row));
        self.log(&known, &content)
    }

    /// The place of the next change in the running transaction; `None` if that is logged already.
    fn next_index(&mut self) -> Result<Option<(Transaction, u64)>> {
        let Some(running) = &mut self.running else {
            return Err(Fault::permanent(
                "the replication stream brought a change outside of a transaction",
            ));
        };
        let index = running.next_index;
        running.next_index += 1;
        Ok((!running.already_logged).then(|| (running.transaction.clone(), index)))
    }

    /// Adds an event to the batch.
    fn log(&mut self, known: &Known, content: &Content<'_>) -> Result<()> {
        let Some((transaction, index)) = self.next_index()? else {
            return Ok(());
        };
        let Known { shape, history } = known;
        let last = match content {
            Content::Change(row) if history.is_some() => self
                .drafter
                .recalled_id(shape, row)
                .map_err(misfit)?
                .and_then(|id| self.recall.get(&shape.resource, id))
                .flatten(),
            _ => None,
        };
        let last = last.and_then(|record| Fields::read(record));
        let draft = match content {
            Content::Change(row) => self.drafter.draft(shape, row, last.as_ref()),
            Content::Snapshot(row) => {
                let draft = self.drafter.draft(shape, row, None);
                draft.map(Draft::as_snapshot)
            }
            Content::Truncate => Ok(Draft::truncated()),
        };
        let draft = draft.map_err(misfit)?;
        let remembered = match (history, draft.resource_id) {
            (Some(history), Some(id)) => {
                let trusted = history.covers(transaction.commit_lsn, self.batch.next_sequence_id());
                let record = draft.live_record().filter(|_| trusted);
                Some((text(id), record.map(text)))
            }
            _ => None,
        };
        let Transaction {
            commit_lsn,
            commit_time,
            ..
        } = transaction;
        let mut push = |index, shape: &Arc<Shape>, draft: &Draft<'_>| {
            let event_id = self.ids.id(commit_time, commit_lsn, index);
            self.batch
                .push(&transaction, index, event_id, shape, draft, self.keep)
                .map_err(|error| unloggable(shape, error))
        };
        push(index, shape, &draft)?;
        for (place, field) in shape.field_events(&draft) {
            push(index + place, field, &draft.as_field_event())?;
        }
        self.objects.saw(&shape.resource, &draft);
        if let (Content::Change(RowChange::Update { .. }), Some(running)) =
            (content, &mut self.running)
        {
            running.next_index += shape.field_places();
        }
        if let Some((id, record)) = remembered {
            let resource = Arc::clone(&shape.resource);
            self.recall.put(&resource, id, record);
        }
        Ok(())
    }
}

/// What the drafter writes is UTF-8.
fn text(bytes: &[u8]) -> ByteString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

fn read(bytes: &[u8]) -> Result<Message<'_>> {
    decode(bytes).map_err(|error| {
        Fault::permanent("the replication stream brought a message that cannot be read")
            .because(error)
            .next_step("report this with the server's version; the slot still holds the change")
    })
}

fn unloggable(shape: &Shape, error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    let (schema, table) = (&shape.schema, &shape.table);
    Fault::permanent(format!("a row of {schema}.{table} cannot be logged"))
        .because(error)
        .next_step("leave the column out with `exclude` in a [[resource]] for this table")
}

fn misfit(error: MisfitRow) -> Fault {
    Fault::permanent("the replication stream does not fit its own description").because(error)
}

/// Catalogs that do not answer are as good as gone; the stream must not wait for them for ever.
/// A database that does not answer is as good as gone; the stream must not wait for it for ever.
async fn in_time<T>(whom: &str, question: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(CATALOG_TIMEOUT, question).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault::transient(format!("{whom} does not answer"))),
    }
}
