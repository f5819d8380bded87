//! What a field event tells of its column. Source: Thena, "Field-specific events".

use jiff::Timestamp;

use crate::event::{Event, Fields};
use crate::webhook::json::Json;

/// The change of one column.
#[derive(Debug)]
pub(super) struct FieldChange<'a> {
    name: &'a str,
    /// JSON texts; `None` where a value is not sent.
    previous: Option<&'a str>,
    new: Option<&'a str>,
}

impl<'a> FieldChange<'a> {
    /// `None` for an event that is about no single column.
    pub(super) fn of(event: &'a Event) -> Option<Self> {
        let name = event.field()?;
        let value = |object: Option<&'a str>| Some(Fields::read(object?)?.named(name)?.value);
        Some(Self {
            name,
            previous: value(event.previous.as_deref()),
            new: value(event.record.as_deref()),
        })
    }

    /// Writes it as an object.
    pub(super) fn write(&self, json: &mut Json, changed_at: Option<Timestamp>) {
        json.open();
        json.key("fieldName");
        json.string(self.name);
        for (key, value) in [("previousValue", self.previous), ("newValue", self.new)] {
            if let Some(value) = value {
                json.key(key);
                json.raw(value);
            }
        }
        if let Some(time) = changed_at {
            json.key("changedAt");
            json.quoted(time);
        }
        json.close();
    }
}
