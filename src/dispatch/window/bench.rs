//! A window, and a clock that is moved by hand.

use std::num::NonZeroUsize;

use bytestring::ByteString;
use uuid::Uuid;

use super::*;
use crate::dispatch::Batching;
use crate::event::{Action, OldRow, Origin};
use crate::wal::Lsn;

pub(super) fn event(sequence_id: i64, resource_id: &str) -> Event {
    Event {
        sequence_id,
        event_id: Uuid::from_u128(u128::from(sequence_id.unsigned_abs())),
        event_type: "posts.updated".into(),
        resource: "posts".into(),
        resource_id: Some(ByteString::from(resource_id)),
        action: Action::Updated,
        created_at: 0,
        record: Some(ByteString::from_static("{}")),
        previous: None,
        context: None,
        data: None,
        tenant: None,
        related: None,
        old_row: OldRow::Full,
        unknown: Vec::new(),
        as_text: Vec::new(),
        erased_at: None,
        origin: Origin {
            schema: "".into(),
            table: "".into(),
            xid: 0,
            commit_lsn: Lsn(0),
            index: 0,
        },
    }
}

pub(super) fn again(seconds: u64) -> Fate {
    let after = Duration::from_secs(seconds);
    Fate::Decided(Step::Retry { after }, "500".into())
}

/// A window with a clock that is moved by hand.
pub(super) struct Bench {
    pub(super) window: Window,
    pub(super) now: Instant,
    pub(super) clock: Timestamp,
}

impl Bench {
    pub(super) fn new(order: Order) -> Self {
        Self::restored(order, 0, Vec::new())
    }

    pub(super) fn restored(order: Order, cursor: i64, rows: Vec<DeliveryRow>) -> Self {
        let (now, clock) = (Instant::now(), Timestamp::UNIX_EPOCH);
        Self {
            window: Window::new(order.into(), cursor, rows, now, clock),
            now,
            clock,
        }
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.clock = self
            .clock
            .checked_add(Duration::from_secs(seconds))
            .unwrap();
    }

    pub(super) fn next(&mut self) -> Option<i64> {
        self.take().map(|job| job.sequence_id)
    }

    pub(super) fn take(&mut self) -> Option<Job> {
        self.window.next(self.now, usize::MAX)
    }

    pub(super) fn end(&mut self, lane: &str, fate: Fate) {
        self.window
            .finished(&LaneKey::from(lane), fate, self.now, self.clock);
    }

    pub(super) fn settle(&mut self, lane: &str) {
        self.end(lane, Fate::Decided(Step::Settle, String::new()));
    }

    pub(super) fn retry(&mut self, lane: &str, seconds: u64) {
        self.end(lane, again(seconds));
    }

    /// Takes up to `max` events together, which wait for others for so many seconds.
    pub(super) fn gather(&mut self, max: usize, seconds: u64, limit: usize) -> Option<Vec<Job>> {
        let batching = Batching {
            max_events: NonZeroUsize::new(max).unwrap(),
            max_wait: Duration::from_secs(seconds),
        };
        self.window.gather(self.now, limit, &batching)
    }

    /// Those that went together have their fates, by their places.
    pub(super) fn end_all(&mut self, jobs: Vec<Job>, fate: impl Fn(usize) -> Fate) {
        let fates = (0..).zip(jobs).map(|(place, job)| (job.lane, fate(place)));
        self.window
            .finished_together(fates.collect(), self.now, self.clock);
    }

    /// The flush as text: cursor, deleted rows, kept rows.
    pub(super) fn flush(&mut self) -> String {
        let mut settlement = self.window.settlement();
        settlement.done.sort_unstable();
        settlement.kept.sort_by_key(|row| row.sequence_id);
        let kept: Vec<String> = settlement
            .kept
            .iter()
            .map(|row| {
                let state = if row.dead { "dead" } else { "waiting" };
                let due = row
                    .due_at
                    .map_or("-".to_owned(), |due| due.as_second().to_string());
                format!("{} {state} {} {due}", row.sequence_id, row.attempts)
            })
            .collect();
        format!(
            "cursor {} done {:?} kept {kept:?}",
            settlement.cursor, settlement.done
        )
    }
}
