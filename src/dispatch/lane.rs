//! Lanes: the events of one ordering key, one behind the other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
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
    pub(super) event: Option<Event>,
    /// Whether it is wanted has to be asked when it is sent: nobody could tell before, or the settings
    /// may have changed since.
    pub(super) doubtful: bool,
    /// Whether it has a row, or will have one with the next flush.
    pub(super) has_row: bool,
}

impl Item {
    /// What it takes in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.event.as_ref().map_or(0, Event::bytes)
    }

    /// With the attempt that has just failed.
    pub(super) fn counted(&self) -> Self {
        Self {
            sequence_id: self.sequence_id,
            event_id: self.event_id,
            attempts: self.attempts + 1,
            event: None,
            doubtful: self.doubtful,
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
