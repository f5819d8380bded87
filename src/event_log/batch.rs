//! Events on their way into the log: encoded as they come, handed over in chunks.

use std::sync::Arc;

use bytestring::ByteString;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::backfills::Progress;
use super::chunk::{Chunk, End, Mark, TransactionEnd};
use super::copy::{self, Place, ValueTooLong};
use crate::event::{Cut, Draft, Shape};
use crate::wal::Lsn;

/// The transaction that a change belongs to.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// LSN of its commit record.
    pub commit_lsn: Lsn,
    /// Microseconds since 2000-01-01 UTC.
    pub commit_time: i64,
    /// Its id.
    pub xid: u32,
    /// What the application has said of it so far.
    pub context: Option<ByteString>,
}

/// Bytes of JSON in one row. Postgres makes no row of 1 GiB, before its values are compressed and
/// stored apart; the rest is room for the other columns.
const LONGEST_JSON: usize = (1 << 30) - (4 << 20);

/// Room that a batch has from the start at the most: for what is gathered, and the row that goes beyond.
const MOST_ROOM: usize = 4 << 20;

/// A buffer that one large row has made larger than this does not serve again.
const MOST_SPARE: usize = 2 * MOST_ROOM;

/// The batch that fills.
pub struct Batch {
    rows: Vec<u8>,
    /// The buffer of a batch that is done.
    spare: Option<Vec<u8>>,
    marks: Vec<Mark>,
    next_sequence_id: i64,
    count: usize,
    /// Where the last transaction that is complete in it ends; `None` while the first one runs.
    complete: Option<Complete>,
    /// Whether anything follows that: the batch stops in the middle of a transaction.
    open: bool,
    /// What its rows add to backfills.
    progress: Vec<Progress>,
    /// Scheduled events among its rows, and their sequence ids.
    scheduled: Vec<(Uuid, i64)>,
    /// Who wants to know when it is durable.
    waiting: Vec<oneshot::Sender<()>>,
}

/// What a batch held when a transaction ended.
#[derive(Clone, Copy)]
struct Complete {
    end: TransactionEnd,
    /// Bytes of rows.
    rows: usize,
    marks: usize,
    next_sequence_id: i64,
    count: usize,
    progress: usize,
    scheduled: usize,
}

impl Batch {
    /// An empty batch whose first event gets `next_sequence_id`.
    #[must_use]
    pub fn new(next_sequence_id: i64) -> Self {
        Self {
            rows: Vec::new(),
            spare: None,
            marks: Vec::new(),
            next_sequence_id,
            count: 0,
            complete: None,
            open: false,
            progress: Vec::new(),
            scheduled: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Notes what the running transaction adds to a backfill; committed with it.
    pub fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
        self.open = true;
    }

    /// Notes that the event with this sequence id is a scheduled one; committed with it.
    pub fn scheduled(&mut self, event_id: Uuid, sequence_id: i64) {
        self.scheduled.push((event_id, sequence_id));
    }

    /// Adds one event and gives it the next sequence id. `keep`: readers will want it from memory.
    ///
    /// # Errors
    /// If a value is longer than Postgres can store.
    pub fn push(
        &mut self,
        transaction: &Transaction,
        index: u64,
        event_id: Uuid,
        shape: &Arc<Shape>,
        draft: &Draft<'_>,
        keep: bool,
    ) -> Result<(), ValueTooLong> {
        let place = Place {
            sequence_id: self.next_sequence_id,
            event_id,
            commit_time: transaction.commit_time,
            xid: transaction.xid,
            commit_lsn: transaction.commit_lsn,
            index,
        };
        let cut = Cut::of(draft, shape, LONGEST_JSON);
        let left = cut.as_ref().map(|cut| {
            tracing::warn!(
                table = %format_args!("{}.{}", shape.schema, shape.table),
                columns = ?cut.unknown(shape),
                "a row is too large for the log: its longest values are left out, and listed as unknown"
            );
            cut.draft(draft)
        });
        let draft = left.as_ref().unwrap_or(draft);
        let parts = copy::put_event(
            &mut self.rows,
            place,
            shape,
            draft,
            transaction.context.as_deref(),
        )?;
        self.next_sequence_id += 1;
        self.count += 1;
        self.open = true;
        if keep {
            self.marks.push(Mark {
                place,
                parts,
                moved: 0,
                shape: Arc::clone(shape),
                action: draft.action,
                old_row: draft.old_row,
                unknown: names(shape, draft.unknown),
                as_text: names(shape, draft.as_text),
                context: transaction.context.clone(),
            });
        }
        Ok(())
    }

    /// Notes that a transaction is complete.
    pub fn commit(&mut self, end: TransactionEnd) {
        let before = self.complete.and_then(|complete| complete.end.commit_time);
        self.complete = Some(Complete {
            end: TransactionEnd {
                commit_time: end.commit_time.or(before),
                ..end
            },
            rows: self.rows.len(),
            marks: self.marks.len(),
            next_sequence_id: self.next_sequence_id,
            count: self.count,
            progress: self.progress.len(),
            scheduled: self.scheduled.len(),
        });
        self.open = false;
    }

    /// Someone wants to know when what is complete now is durable.
    pub fn tell_when_durable(&mut self, waiting: oneshot::Sender<()>) {
        self.waiting.push(waiting);
    }

    /// The sequence id of the event that comes next.
    #[must_use]
    pub fn next_sequence_id(&self) -> i64 {
        self.next_sequence_id
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is nothing to log and nothing to acknowledge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_content() && self.complete.is_none()
    }

    /// Whether it holds anything to commit.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.count > 0 || !self.progress.is_empty() || !self.scheduled.is_empty()
    }

    /// Whether it ends where a transaction ends.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        !self.open
    }

    /// Whether it holds a transaction that is complete.
    #[must_use]
    pub fn has_complete(&self) -> bool {
        self.complete.is_some()
    }

    /// Takes the buffer of a chunk that is done, unless readers still share it.
    pub fn reuse(&mut self, chunk: Chunk) {
        if chunk.rows.is_unique() {
            let mut rows = Vec::from(chunk.rows);
            if rows.capacity() <= MOST_SPARE {
                rows.clear();
                self.spare = Some(rows);
            }
        }
    }

    /// Takes the transactions that are complete, and leaves what it holds of the next one: they do not
    /// wait for that. `None` where there are none.
    pub fn take_complete(&mut self) -> Option<Chunk> {
        let complete = self.complete?;
        if !self.open {
            return Some(self.take());
        }
        let next_sequence_id =
            std::mem::replace(&mut self.next_sequence_id, complete.next_sequence_id);
        let count = std::mem::replace(&mut self.count, complete.count) - complete.count;
        let rows = self.rows.split_off(complete.rows);
        let mut marks = self.marks.split_off(complete.marks);
        let progress = self.progress.split_off(complete.progress);
        let scheduled = self.scheduled.split_off(complete.scheduled);
        self.open = false;
        if self.rows.capacity() > MOST_SPARE {
            self.rows.shrink_to_fit();
        }
        let chunk = self.take();
        for mark in &mut marks {
            mark.moved += complete.rows;
        }
        if rows.len() > self.rows.capacity() {
            self.rows = rows;
        } else {
            self.rows.extend_from_slice(&rows);
        }
        self.marks.append(&mut marks);
        self.next_sequence_id = next_sequence_id;
        self.count = count;
        self.progress = progress;
        self.scheduled = scheduled;
        self.open = true;
        Some(chunk)
    }

    /// Takes what has gathered and leaves an empty batch that goes on behind it.
    pub fn take(&mut self) -> Chunk {
        // Batches come in the size of the one before.
        let room = || Vec::with_capacity(self.rows.len().min(MOST_ROOM));
        let mut next = Self {
            open: self.open,
            rows: self.spare.take().unwrap_or_else(room),
            marks: Vec::with_capacity(self.marks.len()),
            ..Self::new(self.next_sequence_id)
        };
        if self.open {
            // Only the end of its transaction commits it.
            next.progress = std::mem::take(&mut self.progress);
            next.scheduled = std::mem::take(&mut self.scheduled);
        }
        let mut full = std::mem::replace(self, next);
        if !full.marks.is_empty() {
            // Readers may hold a chunk for long: no more than twice what is in it.
            full.rows.shrink_to(2 * full.rows.len());
            full.marks.shrink_to(2 * full.marks.len());
        }
        Chunk {
            rows: full.rows.into(),
            count: full.count,
            next_sequence_id: full.next_sequence_id,
            end: match full.complete {
                Some(complete) if !full.open => End::Transaction(complete.end),
                _ => End::Open,
            },
            progress: full.progress,
            scheduled: full.scheduled,
            marks: full.marks,
            waiting: full.waiting,
        }
    }
}

fn names(shape: &Shape, columns: &[usize]) -> Vec<String> {
    let name = |column: &usize| shape.column_name(*column).to_owned();
    columns.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_begins_with_room_for_as_much_as_the_one_before_held() {
        let mut batch = Batch::new(1);
        for (held, room) in [(1_000, 1_000), (0, 0), (3 * MOST_ROOM, MOST_ROOM), (0, 0)] {
            batch.rows.resize(held, b'x');
            assert_eq!(batch.take().bytes(), held);
            assert_eq!(batch.rows.capacity(), room);
        }
    }

    #[test]
    fn a_buffer_serves_again_unless_readers_share_it() {
        let mut batch = Batch::new(1);
        batch.rows.resize(1_000, b'x');
        let chunk = batch.take();
        let shared = chunk.rows.clone();
        batch.reuse(chunk);
        assert!(batch.spare.is_none());
        drop(shared);

        batch.rows.resize(1_000, b'y');
        let chunk = batch.take();
        let again = chunk.rows.as_ptr();
        batch.reuse(chunk);
        assert_eq!(batch.take().bytes(), 0);
        assert_eq!(batch.rows.as_ptr(), again);
        assert!(batch.rows.is_empty());
    }

    #[test]
    fn what_is_complete_goes_without_the_transaction_that_runs() {
        let shape = Arc::new(Shape::of_notes("note"));
        let push = |batch: &mut Batch, record: &str| {
            let transaction = Transaction {
                commit_lsn: Lsn(1),
                commit_time: 0,
                xid: 1,
                context: None,
            };
            let draft = Draft::noted(record.as_bytes());
            batch
                .push(&transaction, 0, Uuid::nil(), &shape, &draft, true)
                .unwrap();
        };
        let records = |chunk: &Chunk| -> Vec<(i64, String)> {
            let events = chunk.events().into_iter();
            events
                .map(|it| (it.sequence_id, it.record.unwrap().to_string()))
                .collect()
        };
        let end = TransactionEnd {
            commit_lsn: Lsn(10),
            end_lsn: Lsn(11),
            commit_time: Some(7),
        };
        let mut batch = Batch::new(1);
        push(&mut batch, "[1]");
        assert!(batch.take_complete().is_none(), "it runs");
        batch.commit(end);
        push(&mut batch, "[20]");
        batch.scheduled(Uuid::nil(), 2);

        let whole = batch.take_complete().unwrap();
        assert!(matches!(whole.end, End::Transaction(_)));
        assert_eq!(records(&whole), [(1, "[1]".to_owned())]);
        assert_eq!((whole.count, whole.next_sequence_id), (1, 2));
        assert!(whole.scheduled.is_empty() && !batch.has_complete() && !batch.at_boundary());

        push(&mut batch, "[300]");
        batch.commit(end);
        let rest = batch.take_complete().unwrap();
        assert!(batch.is_empty());
        assert_eq!(
            records(&rest),
            [(2, "[20]".to_owned()), (3, "[300]".to_owned())]
        );
        assert_eq!((rest.count, rest.next_sequence_id), (2, 4));
        assert_eq!(rest.scheduled, [(Uuid::nil(), 2)]);
    }

    #[test]
    fn no_large_row_of_the_next_transaction_stays_with_what_is_complete() {
        let mut batch = Batch::new(1);
        batch.rows.resize(1_000, b'x');
        batch.commit(TransactionEnd {
            commit_lsn: Lsn(10),
            end_lsn: Lsn(11),
            commit_time: None,
        });
        batch.rows.resize(2 * MOST_SPARE, b'y');
        batch.open = true;
        let complete = batch.take_complete().unwrap();
        assert_eq!(complete.bytes(), 1_000);
        batch.reuse(complete);
        assert!(batch.spare.as_ref().is_none_or(|it| it.capacity() <= 1_000));
        let rest = batch.take();
        assert_eq!(rest.bytes(), 2 * MOST_SPARE - 1_000);
        batch.reuse(rest);
        assert!(batch.spare.as_ref().is_none_or(|it| it.capacity() <= 1_000));
    }

    #[test]
    fn a_note_behind_a_transaction_does_not_hide_when_that_was_committed() {
        let end = |lsn, commit_time| TransactionEnd {
            commit_lsn: Lsn(lsn),
            end_lsn: Lsn(lsn + 1),
            commit_time,
        };
        let mut batch = Batch::new(1);
        batch.commit(end(10, Some(7)));
        batch.commit(end(10, None));
        assert_eq!(batch.take().commit_time(), Some(7));
        batch.commit(end(10, None));
        assert_eq!(batch.take().commit_time(), None);
    }
}
