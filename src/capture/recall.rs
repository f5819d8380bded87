//! The last events of rows whose old values come from the log: what was seen lately in memory,
//! everything else by a question to the log.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

/// Bytes of records in the younger half of the memory, at which it becomes the older half.
const HALF: usize = 8 << 20;

/// What an entry takes beside its texts, roughly.
const OVERHEAD: usize = 100;

/// Resource → resource id → record; no record where nothing is known of the row.
type Rows = HashMap<Arc<str>, HashMap<ByteString, Option<ByteString>>>;

/// What is known of rows without asking, in two halves: the older one is dropped as a whole.
///
/// A question to the log sees what the writer was given. What still gathers in the batch stands
/// here, because a half is only dropped when the batch is handed over, and holds nothing then that the
/// batch took in since it was handed over before: a transaction of which the writer does not get all
/// stays known.
#[derive(Debug, Default)]
pub(super) struct Recall {
    young: Rows,
    old: Rows,
    young_bytes: usize,
}

impl Recall {
    /// What is known of a row; `None` if the log has to be asked.
    pub(super) fn get(&self, resource: &str, id: &str) -> Option<Option<&ByteString>> {
        [&self.young, &self.old]
            .into_iter()
            .find_map(|rows| rows.get(resource)?.get(id))
            .map(Option::as_ref)
    }

    /// Remembers the last event of a row.
    pub(super) fn put(&mut self, resource: &Arc<str>, id: ByteString, record: Option<ByteString>) {
        self.young_bytes += id.len() + record.as_ref().map_or(0, |record| record.len()) + OVERHEAD;
        let rows = self.young.entry(Arc::clone(resource)).or_default();
        rows.insert(id, record);
    }

    /// Forgets a resource: changes of it may have been missed.
    pub(super) fn forget(&mut self, resource: &str) {
        self.young.remove(resource);
        self.old.remove(resource);
    }

    /// The batch was handed over to the writer, but for the transaction that runs at the most: what is
    /// remembered since the last time may be forgotten the next time.
    pub(super) fn handed_over(&mut self) {
        if self.young_bytes > HALF {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

/// Messages that wait until the log has told what the first one of them needs.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.messages.iter()
    }

    pub(super) fn push(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }

    pub(super) fn put_back(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push_front(message);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_handed_over_is_never_forgotten() {
        let posts: Arc<str> = Arc::from("posts");
        let mut recall = Recall::default();
        let text = || Some(ByteString::from("x".repeat(HALF / 2)));
        for id in ["1", "2", "3"] {
            recall.put(&posts, id.into(), text());
        }
        assert!(recall.get("posts", "1").is_some());
        recall.handed_over();
        recall.put(&posts, "4".into(), None);
        assert!(
            recall.get("posts", "1").is_some(),
            "still in the older half"
        );
        for id in ["5", "6", "7"] {
            recall.put(&posts, id.into(), text());
        }
        recall.handed_over();
        assert!(recall.get("posts", "1").is_none());
        assert_eq!(recall.get("posts", "4"), Some(None));
        recall.forget("posts");
        assert!(recall.get("posts", "4").is_none());
    }

    #[test]
    fn the_newer_of_two_events_counts() {
        let posts: Arc<str> = Arc::from("posts");
        let mut recall = Recall::default();
        recall.put(&posts, "1".into(), Some("{}".into()));
        recall.put(&posts, "1".into(), None);
        assert_eq!(recall.get("posts", "1"), Some(None));
    }
}
