//! By what a subscription's events are put into lanes. Pure.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::Order;
use super::lane::{LaneKey, lane_key};
use crate::event::{Event, Fields};

/// A lane's key is kept in memory and in rows: a value that is longer stands there as its digest. So does
/// one that not every database has the characters of, whatever the escapes of a json column make of it.
const LONGEST_VALUE: usize = 200;

/// How `order_by` calls the tenant of an event, as expressions do.
const TENANT: &str = "event.tenant";

/// What `order_by` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderBy {
    name: String,
    /// The column as a member's key is written; `None` for the tenant.
    json: Option<String>,
}

impl OrderBy {
    /// By this column, or by the event's tenant.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            json: (name != TENANT).then(|| serde_json::Value::from(name).to_string()),
        }
    }

    /// The column; `None` for the tenant.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.json.as_ref().map(|_| self.name.as_str())
    }

    /// The lane of the column's value; `None` if the event does not know it or it is null. The key is
    /// the text of the value alone, so that tables that keep it as a number and as text meet.
    fn lane(&self, event: &Event) -> Option<LaneKey> {
        let Some(json) = &self.json else {
            return Some(self.named(event.tenant.as_deref()?));
        };
        let fields = Fields::read(event.record.as_deref()?)?;
        let value = fields.get(json)?.value;
        if value == "null" {
            return None;
        }
        let text: Option<String> = value
            .starts_with('"')
            .then(|| serde_json::from_str(value).ok())
            .flatten();
        Some(self.named(text.as_deref().unwrap_or(value)))
    }

    fn named(&self, value: &str) -> LaneKey {
        let name = &self.name;
        let is_plain = value.bytes().all(|byte| byte.is_ascii() && byte != 0);
        LaneKey::from(if is_plain && value.len() <= LONGEST_VALUE {
            format!("{name}={value}")
        } else {
            format!("{name}#{}", STANDARD.encode(Sha256::digest(value)))
        })
    }
}

/// What decides about an event's lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ordering {
    pub(super) order: Order,
    pub(super) by: Option<OrderBy>,
}

impl Ordering {
    /// The lane of an event.
    pub(super) fn lane(&self, event: &Event) -> LaneKey {
        let by = self.by.as_ref().and_then(|by| by.lane(event));
        by.unwrap_or_else(|| lane_key(self.order, event))
    }
}

impl From<Order> for Ordering {
    fn from(order: Order) -> Self {
        Self { order, by: None }
    }
}

impl fmt::Display for Ordering {
    /// As it is noted in `rowhook.subscriptions`, to see a change of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.order, &self.by) {
            (Order::Resource, None) => f.write_str("resource"),
            (Order::Resource, Some(by)) => write!(f, "resource by {}", by.name),
            (Order::None, _) => f.write_str("none"),
            (Order::Strict, _) => f.write_str("strict"),
        }
    }
}
