//! What of an event is sent, whatever the format; and a body that is no format's.

use std::borrow::Cow;

use super::Documents;
use crate::event::{Event, Expression, Selection};

/// How a webhook departs from sending whole events in a format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// Columns that are sent; `None` sends all.
    pub fields: Option<Selection>,
    /// Its value as JSON is the body, instead of a format's.
    pub body: Option<Expression>,
    /// Columns whose previous values are told key by key. The same for all webhooks.
    pub documents: Documents,
}

impl Payload {
    /// The event as the receiver is to see it.
    pub(super) fn narrowed<'a>(&self, event: &'a Event) -> Cow<'a, Event> {
        match &self.fields {
            Some(fields) => Cow::Owned(fields.cut(event)),
            None => Cow::Borrowed(event),
        }
    }

    /// The JSON of an event that no format writes.
    pub(super) fn body(&self, event: &Event) -> Option<Result<Vec<u8>, String>> {
        let json = self.body.as_ref()?.json(event);
        Some(json.map_err(|reason| format!("body: {reason}")))
    }
}
