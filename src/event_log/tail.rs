//! Events in memory: the newest, so that subscriptions at the head need no query, and older ones that
//! were just read for somebody, so that those who stand together need but one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::pages::Pages;
use super::section::Section;
use crate::event::Event;
use crate::fault::Result;

/// Bytes of log rows that are kept at the most.
const CAPACITY: usize = 16 << 20;

/// The end of the log: shared by the writer and all subscriptions.
pub struct Tail {
    kept: Mutex<Kept>,
    /// What was read of the log behind what is kept.
    pages: Pages,
    /// Sequence id of the newest event.
    head: watch::Sender<i64>,
    /// How often readers were told to forget what they hold.
    forgotten: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    batches: VecDeque<(Arc<Vec<Event>>, usize)>,
    bytes: usize,
}

impl Tail {
    /// An empty tail of a log whose newest event is `head`.
    #[must_use]
    pub fn new(head: i64) -> Self {
        Self {
            kept: Mutex::default(),
            pages: Pages::default(),
            head: watch::Sender::new(head),
            forgotten: watch::Sender::new(0),
        }
    }

    /// Publishes what was committed. Without `events` (none were kept) readers use the log.
    pub fn publish(&self, events: Vec<Event>, bytes: usize, head: i64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if events.is_empty() {
            // What is kept would have a hole in front of what comes next.
            *kept = Kept::default();
            // And a session that begins may log otherwise what one before it had logged and lost.
            self.pages.clear();
        } else {
            kept.bytes += bytes;
            kept.batches.push_back((Arc::new(events), bytes));
        }
        while kept.bytes > CAPACITY && kept.batches.len() > 1 {
            if let Some((_, bytes)) = kept.batches.pop_front() {
                kept.bytes -= bytes;
            }
        }
        drop(kept);
        self.head.send_replace(head);
    }

    /// Up to `limit` events after `cursor`, if the next one is still here.
    #[must_use]
    pub fn after(&self, cursor: i64, limit: usize) -> Option<Section> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let first = kept.batches.front()?.0.first()?.sequence_id;
        if cursor + 1 < first {
            return None;
        }
        let ends_after =
            |batch: &Arc<Vec<Event>>| batch.last().is_some_and(|event| event.sequence_id > cursor);
        let start = kept
            .batches
            .partition_point(|(batch, _)| !ends_after(batch));
        let newer = kept.batches.range(start..).map(|(batch, _)| batch);
        let batches: Vec<_> = newer.take(limit).map(Arc::clone).collect();
        drop(kept);
        (!batches.is_empty()).then(|| Section::new(batches, cursor, limit))
    }

    /// The events behind `cursor` as `read` brings them out of the log, or as it just did for somebody
    /// else. Empty where there are none yet.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn behind(
        &self,
        cursor: i64,
        read: impl Future<Output = Result<Vec<Event>>>,
    ) -> Result<Section> {
        self.pages.after(cursor, read).await
    }

    /// Lets go of what was read for some reader a while ago. To be done now and then.
    pub fn let_go(&self) {
        self.pages.let_go();
    }

    /// Values were erased from the log: what stands here goes, and readers read again what they hold.
    pub fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
        self.pages.clear();
        self.forgotten.send_modify(|times| *times += 1);
    }

    /// Tells when to forget.
    #[must_use]
    pub fn forgotten(&self) -> watch::Receiver<u64> {
        self.forgotten.subscribe()
    }

    /// How often it was told so far.
    #[must_use]
    pub fn times_forgotten(&self) -> u64 {
        *self.forgotten.borrow()
    }

    /// Follows the newest sequence id.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<i64> {
        self.head.subscribe()
    }
}
