//! A stretch of the log in memory.

use std::sync::Arc;

use crate::event::Event;

/// Events behind a cursor, shared by all who look at them: who wants one copies it.
pub struct Section {
    batches: Vec<Arc<Vec<Event>>>,
    cursor: i64,
    most: usize,
}

impl Section {
    /// Of these batches, which follow one another, what is behind `cursor`; so many events at the most.
    pub(super) fn new(batches: Vec<Arc<Vec<Event>>>, cursor: i64, most: usize) -> Self {
        Self {
            batches,
            cursor,
            most,
        }
    }

    /// All of these.
    #[must_use]
    pub fn whole(events: Vec<Event>) -> Self {
        Self::new(vec![Arc::new(events)], i64::MIN, usize::MAX)
    }

    /// In ascending order.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        let all = self.batches.iter().flat_map(|batch| batch.iter());
        all.filter(|event| event.sequence_id > self.cursor)
            .take(self.most)
    }
}
