//! What of an event is sent, whatever the format; and a body that is no format's.

use std::borrow::Cow;

use super::Body;
use crate::event::{Event, Expression, Selection};

/// How a webhook departs from sending whole events in a format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// Columns that are sent; `None` sends all.
    pub fields: Option<Selection>,
    /// Its value as JSON is the body, instead of a format's.
    pub body: Option<Expression>,
}

impl Payload {
    /// The event as the receiver is to see it.
    pub(super) fn narrowed<'a>(&self, event: &'a Event) -> Cow<'a, Event> {
        match &self.fields {
            Some(fields) => Cow::Owned(fields.cut(event)),
            None => Cow::Borrowed(event),
        }
    }

    /// The body, if it is not a format's to write.
    pub(super) fn body(&self, event: &Event) -> Option<Result<Body, String>> {
        let bytes = self.body.as_ref()?.json(event);
        Some(match bytes {
            Ok(bytes) => Ok(Body {
                content_type: "application/json",
                bytes: bytes.into(),
            }),
            Err(reason) => Err(format!("body: {reason}")),
        })
    }
}
