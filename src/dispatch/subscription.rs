//! One `[[webhook]]`: which events, in which order, how persistently.

use std::num::NonZeroUsize;
use std::time::Duration;

use jiff::Timestamp;

use super::ordering::Ordering;
use super::replay::Replay;
use super::{Conditions, OrderBy, Rate, pattern::Patterns, retry::RetryPolicy};
use crate::webhook::Endpoint;

/// A subscription as the settings mean it. Two that are equal are served alike: a reload leaves their
/// runner alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Unique name; the key of its row in `rowhook.subscriptions`.
    pub name: String,
    /// Which event types it wants.
    pub events: Patterns,
    /// What else has to be true of them.
    pub conditions: Conditions,
    /// What must arrive in order.
    pub order: Order,
    /// The column whose value takes the resource's place in it.
    pub order_by: Option<OrderBy>,
    /// How many requests may be in flight at once.
    pub concurrency: NonZeroUsize,
    /// How many requests may go out.
    pub rate: Option<Rate>,
    /// Several events in one request, if it takes lists.
    pub batch: Option<Batching>,
    /// When a failed attempt is tried again, and when it is given up.
    pub retry: RetryPolicy,
    /// What the attempt log keeps of it.
    pub keeps: Keeps,
    /// Where a new subscription starts reading.
    pub start: Start,
    /// The receiver.
    pub endpoint: Endpoint,
    /// `None` for a `[[webhook]]` itself.
    pub replay: Option<Replay>,
}

impl Subscription {
    pub(super) fn ordering(&self) -> Ordering {
        Ordering {
            order: self.order,
            by: self.order_by.clone(),
        }
    }
}

/// What a receiver sees in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The events of one resource, in order; resources do not wait for each other.
    Resource,
    /// Nothing: every event is a lane of its own.
    None,
    /// Everything: one event at a time, in sequence order.
    Strict,
}

/// What the attempt log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Every attempt.
    All,
    /// Those that failed.
    Failures,
}

/// How events are gathered into one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// How many events at the most.
    pub max_events: NonZeroUsize,
    /// How long to wait for more when fewer are ready.
    pub max_wait: Duration,
}

/// Where a subscription that was never seen before starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest event that the log still holds.
    Beginning,
    /// With the next event that is logged.
    Now,
    /// With this sequence id.
    At(i64),
    /// With the first event that was committed at this time or later; with the next one that is
    /// logged, if there is none yet.
    Since(Timestamp),
}
