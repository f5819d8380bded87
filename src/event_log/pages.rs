//! Pages of the log that many readers want at about the same time: read once, shared by all.
//!
//! Webhooks that fell out of what is kept in memory stand at the same place as long as most of what comes
//! is nothing to them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryFutureExt as _;
use tokio::sync::OnceCell;

use super::section::Section;
use crate::event::Event;
use crate::fault::Result;

/// Pages that are kept at the most: for those who stand together, and for one or two who do not …
const MOST_PAGES: usize = 4;
/// … and their bytes …
const MOST_BYTES: usize = 8 << 20;
/// … for so long after it began to be read: then the log may say something else, for values are erased
/// and segments dropped.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The pages that were read last.
#[derive(Default)]
pub(super) struct Pages(Mutex<VecDeque<Arc<Page>>>);

/// What follows a sequence id, once it is read.
struct Page {
    after: i64,
    began: Instant,
    events: OnceCell<(Arc<Vec<Event>>, usize)>,
}

impl Page {
    /// Whether the event that follows `cursor` is in it, or will be.
    fn has_next(&self, cursor: i64) -> bool {
        let last = self.events.get().and_then(|(events, _)| events.last());
        self.after == cursor
            || (self.after < cursor && last.is_some_and(|last| cursor < last.sequence_id))
    }

    fn is_empty(&self) -> bool {
        let events = self.events.get().map(|(events, _)| events);
        events.is_some_and(|events| events.is_empty())
    }

    fn bytes(&self) -> usize {
        self.events.get().map_or(0, |(_, bytes)| *bytes)
    }
}

impl Pages {
    /// The events behind `cursor`: those of a page that is here, or what `read` brings. One reads for
    /// all who ask meanwhile; if that fails, the next of them reads.
    pub(super) async fn after(
        &self,
        cursor: i64,
        read: impl Future<Output = Result<Vec<Event>>>,
    ) -> Result<Section> {
        let page = self.page(cursor, Instant::now());
        let read = read.map_ok(|events| {
            let bytes = events.iter().map(Event::bytes).sum();
            (Arc::new(events), bytes)
        });
        let events = match page.events.get_or_try_init(|| read).await {
            Ok((events, _)) => events,
            Err(fault) => {
                self.locked().retain(|kept| !Arc::ptr_eq(kept, &page));
                return Err(fault);
            }
        };
        self.let_go();
        Ok(Section::new(vec![Arc::clone(events)], cursor, usize::MAX))
    }

    /// Forgets them all. What is being read for others goes to those who wait for it, and to nobody else.
    pub(super) fn clear(&self) {
        self.locked().clear();
    }

    /// Keeps what is new and fits, and none that was empty: events will stand there.
    pub(super) fn let_go(&self) {
        drop(self.keep(Instant::now()));
    }

    /// The page that has what follows `cursor`; a new one, if none has.
    fn page(&self, cursor: i64, now: Instant) -> Arc<Page> {
        let mut pages = self.keep(now);
        if let Some(page) = pages.iter().find(|page| page.has_next(cursor)) {
            return Arc::clone(page);
        }
        let page = Arc::new(Page {
            after: cursor,
            began: now,
            events: OnceCell::new(),
        });
        if pages.len() == MOST_PAGES {
            pages.pop_front();
        }
        pages.push_back(Arc::clone(&page));
        page
    }

    fn keep(&self, now: Instant) -> MutexGuard<'_, VecDeque<Arc<Page>>> {
        let mut pages = self.locked();
        let mut bytes = 0;
        // The newest first, so that the oldest go.
        for place in (0..pages.len()).rev() {
            let Some(page) = pages.get(place) else { break };
            bytes += page.bytes();
            let is_old = now.duration_since(page.began) >= KEPT_FOR;
            if is_old || page.is_empty() || bytes > MOST_BYTES {
                bytes -= page.bytes();
                pages.remove(place);
            }
        }
        pages
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<Arc<Page>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use tokio::sync::oneshot;
    use uuid::Uuid;

    use super::*;
    use crate::event::{Draft, Shape};
    use crate::event_log::{Batch, Tail, Transaction, TransactionEnd};
    use crate::fault::Fault;
    use crate::wal::Lsn;

    /// Events with these sequence ids, with so many bytes of JSON each.
    fn events(ids: RangeInclusive<i64>, bytes: usize) -> Vec<Event> {
        let (shape, json) = (Arc::new(Shape::of_notes("a.b")), "1".repeat(bytes));
        let place = Transaction {
            commit_lsn: Lsn(1),
            commit_time: 0,
            xid: 1,
            context: None,
        };
        let mut batch = Batch::new(*ids.start());
        for _ in ids {
            let draft = Draft::noted(json.as_bytes());
            let pushed = batch.push(&place, 0, Uuid::nil(), &shape, &draft, true);
            pushed.unwrap();
        }
        batch.commit(TransactionEnd {
            commit_lsn: Lsn(1),
            end_lsn: Lsn(2),
            commit_time: None,
        });
        batch.take().events()
    }

    fn ids(section: &Section) -> Vec<i64> {
        section.events().map(|event| event.sequence_id).collect()
    }

    /// What is behind the cursor without another reading.
    async fn known(pages: &Pages, cursor: i64) -> Option<Vec<i64>> {
        let unread = async { Err(Fault::transient("not here")) };
        pages.after(cursor, unread).await.ok().as_ref().map(ids)
    }

    #[tokio::test]
    async fn one_reads_for_all_who_ask_meanwhile_and_for_those_who_come_later() {
        let pages = Pages::default();
        let (read, reading) = oneshot::channel();
        let first = pages.after(4, async { Ok(reading.await.unwrap()) });
        let second = pages.after(4, async { panic!("read twice") });
        let supply = async { read.send(events(5..=7, 1)).unwrap_or_default() };
        let (first, second, ()) = tokio::join!(biased; first, second, supply);
        assert_eq!(ids(&first.unwrap()), [5, 6, 7]);
        assert_eq!(ids(&second.unwrap()), [5, 6, 7]);
        for (cursor, rest) in [
            (4, Some(vec![5, 6, 7])),
            (6, Some(vec![7])),
            (7, None),
            (3, None),
        ] {
            assert_eq!(known(&pages, cursor).await, rest, "behind {cursor}");
        }
    }

    #[tokio::test]
    async fn where_reading_fails_the_next_one_reads() {
        let pages = Pages::default();
        assert_eq!(known(&pages, 0).await, None);
        let read = pages.after(0, async { Ok(events(1..=1, 1)) }).await;
        assert_eq!(ids(&read.unwrap()), [1]);
    }

    #[tokio::test]
    async fn what_was_empty_is_asked_for_again() {
        let pages = Pages::default();
        let read = pages.after(0, async { Ok(Vec::new()) }).await;
        assert!(ids(&read.unwrap()).is_empty());
        assert_eq!(known(&pages, 0).await, None);
    }

    #[tokio::test]
    async fn a_page_that_was_being_read_when_all_were_forgotten_is_not_kept() {
        let pages = Pages::default();
        let forgotten_meanwhile = async {
            pages.clear();
            Ok(events(1..=2, 1))
        };
        let read = pages.after(0, forgotten_meanwhile).await;
        assert_eq!(ids(&read.unwrap()), [1, 2]);
        assert_eq!(known(&pages, 0).await, None);
    }

    #[tokio::test]
    async fn few_pages_are_kept_and_of_large_ones_fewer() {
        for (bytes, kept) in [(1, MOST_PAGES), (MOST_BYTES / 2, 1), (2 * MOST_BYTES, 0)] {
            let pages = Pages::default();
            for id in 1..=6 {
                let read = pages.after(id - 1, async { Ok(events(id..=id, bytes)) });
                assert_eq!(ids(&read.await.unwrap()), [id]);
            }
            assert_eq!(pages.locked().len(), kept, "of {bytes} bytes");
            let newest = (kept > 0).then(|| vec![6]);
            assert_eq!(known(&pages, 5).await, newest);
        }
    }

    #[tokio::test]
    async fn a_page_is_kept_for_a_moment_only() {
        let pages = Pages::default();
        let read = pages.after(0, async { Ok(events(1..=2, 1)) });
        read.await.unwrap();
        let now = Instant::now();
        assert_eq!(pages.page(1, now).after, 0);
        assert_eq!(pages.page(1, now + KEPT_FOR).after, 1);
        let later = now + 3 * KEPT_FOR;
        assert!(pages.keep(later).is_empty());
    }

    #[tokio::test]
    async fn who_reads_for_others_may_go_away() {
        let pages = Arc::new(Pages::default());
        let shared = Arc::clone(&pages);
        let never = async move { shared.after(0, std::future::pending()).await.map(|_| ()) };
        let reader = tokio::spawn(never);
        while pages.locked().is_empty() {
            tokio::task::yield_now().await;
        }
        let shared = Arc::clone(&pages);
        let read = async move { shared.after(0, async { Ok(events(1..=1, 1)) }).await };
        let other = tokio::spawn(read);
        reader.abort();
        assert_eq!(ids(&other.await.unwrap().unwrap()), [1]);
    }

    #[tokio::test]
    async fn what_was_erased_from_the_log_is_read_again() {
        let tail = Tail::new(2);
        for _ in 0..2 {
            let read = tail.behind(0, async { Ok(events(1..=2, 1)) });
            assert_eq!(ids(&read.await.unwrap()), [1, 2]);
            let unread = async { Err(Fault::transient("not here")) };
            assert_eq!(ids(&tail.behind(1, unread).await.unwrap()), [2]);
            tail.forget();
            let unread = async { Err(Fault::transient("not here")) };
            assert!(tail.behind(1, unread).await.is_err());
        }
    }
}
