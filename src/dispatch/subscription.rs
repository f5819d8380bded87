//! One `[[webhook]]`: which events, in which order, how persistently.

use std::num::NonZeroUsize;

use jiff::Timestamp;

use super::replay::Replay;
use super::{pattern::Patterns, retry::RetryPolicy};
use crate::webhook::Endpoint;

/// A subscription as the settings mean it. Two that are equal are served alike: a reload leaves their
/// runner alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Unique name; the key of its row in `rowhook.subscriptions`.
    pub name: String,
    /// Which event types it wants.
    pub events: Patterns,
    /// What must arrive in order.
    pub order: Order,
    /// How many requests may be in flight at once.
    pub concurrency: NonZeroUsize,
    /// When a failed attempt is tried again, and when it is given up.
    pub retry: RetryPolicy,
    /// Where a new subscription starts reading.
    pub start: Start,
    /// The receiver.
    pub endpoint: Endpoint,
    /// `None` for a `[[webhook]]` itself.
    pub replay: Option<Replay>,
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
