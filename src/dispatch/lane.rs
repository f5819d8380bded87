//! Lanes: the events of one ordering key, one behind the other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::AddAssign;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use super::Order;
use crate::event::Event;
use crate::event_log::deliveries::DeliveryRow;

/// What a lane is known by: in memory, and in the rows of its parked deliveries.
pub(super) type LaneKey = Arc<str>;

/// The lane that an event belongs to.
pub(super) fn lane_key(order: Order, event: &Event) -> LaneKey {
    match (order, &event.resource_id) {
        (Order::Strict, _) => LaneKey::from("*"),
        (Order::None, _) => LaneKey::from(format!("#{}", event.sequence_id)),
        (Order::Resource, Some(id)) => LaneKey::from(format!("{}/{id}", event.resource)),
        // What has no key (TRUNCATE, tables without one) is in order among itself.
        (Order::Resource, None) => LaneKey::from(&*event.resource),
    }
}

/// One lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) items: VecDeque<Item>,
    pub(super) progress: Progress,
    /// When it is due, if it waits.
    pub(super) due: Option<Instant>,
    /// How many of its first items are in the request, while it is in flight.
    pub(super) sent: usize,
    /// Whether an operator had one sent again that now stands behind others without a row.
    pub(super) mixed: bool,
}

impl Lane {
    /// How many of its first items are being sent.
    pub(super) fn in_flight(&self) -> usize {
        match self.progress {
            Progress::InFlight => self.sent,
            Progress::Ready | Progress::Waiting | Progress::Parked => 0,
        }
    }

    /// How many of its first items wait as rows alone, once the very first one does. Those come first,
    /// so that nobody has to look through all of a long lane.
    pub(super) fn parked_to(&self) -> usize {
        if self.mixed {
            return self.items.len().min(1);
        }
        let held = self
            .items
            .iter()
            .rev()
            .take_while(|item| item.event.is_some() || !item.has_row);
        self.items.len() - held.count()
    }
}

/// What a lane's first item is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Progress {
    /// It may be sent.
    #[default]
    Ready,
    /// It is being sent.
    InFlight,
    /// It waits for a quick retry.
    Waiting,
    /// It waits for a retry as a row, and what comes behind it does, too.
    Parked,
}

/// One event in a lane.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) sequence_id: i64,
    pub(super) event_id: Uuid,
    /// Attempts so far.
    pub(super) attempts: u32,
    /// `None` once it is parked: it is read again when its turn comes.
    pub(super) event: Option<Arc<Event>>,
    /// Whether it is wanted has to be asked when it is sent: nobody could tell before, or the settings
    /// may have changed since.
    pub(super) doubtful: bool,
    /// It goes in a request of its own: one that it shared was refused, and nobody knows for whom.
    pub(super) alone: bool,
    /// It waited for a retry until then when an operator had another one sent before it.
    pub(super) not_before: Option<Instant>,
    /// Whether it has a row, or will have one with the next flush.
    pub(super) has_row: bool,
}

impl Item {
    /// What it takes in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.event.as_ref().map_or(0, |event| event.bytes())
    }

    /// It waits as a row from here on.
    pub(super) fn park(&mut self) -> Freed {
        let freed = Freed {
            bytes: self.bytes(),
            rows: usize::from(!self.has_row),
        };
        self.event = None;
        self.has_row = true;
        freed
    }

    /// Whether it may share a request. Not after a failure: what is wrong with one event must not
    /// hold up the others again. Not from the log: nobody knows how large it is.
    pub(super) fn is_sociable(&self) -> bool {
        self.attempts == 0 && !self.alone && self.event.is_some()
    }

    /// With the attempt that has just failed.
    pub(super) fn counted(&self) -> Self {
        Self {
            sequence_id: self.sequence_id,
            event_id: self.event_id,
            attempts: self.attempts + 1,
            event: None,
            doubtful: self.doubtful,
            alone: self.alone,
            not_before: None,
            has_row: self.has_row,
        }
    }

    pub(super) fn row(
        &self,
        lane: &LaneKey,
        due_at: Option<Timestamp>,
        reason: Option<String>,
    ) -> DeliveryRow {
        DeliveryRow {
            sequence_id: self.sequence_id,
            event_id: self.event_id,
            lane: lane.to_string(),
            dead: false,
            attempts: i32::try_from(self.attempts).unwrap_or(i32::MAX),
            due_at,
            reason,
        }
    }
}

/// What parking gives: memory, and rows that were not there.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Freed {
    pub(super) bytes: usize,
    pub(super) rows: usize,
}

impl AddAssign for Freed {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.rows += other.rows;
    }
}

/// Lanes that wait, by the time when they are due.
#[derive(Debug, Default)]
pub(super) struct Retries(BinaryHeap<Reverse<(Instant, LaneKey)>>);

impl Retries {
    pub(super) fn push(&mut self, due: Instant, lane: LaneKey) {
        self.0.push(Reverse((due, lane)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((due, _))| *due)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<LaneKey> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, lane))| lane)
    }
}
