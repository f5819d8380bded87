//! The row before and after a change, and what differs, as far as it is known.

use crate::event::{Action, Event, Fields, OldRow};
use crate::webhook::json::Json;

/// What an event says of its row.
#[derive(Debug)]
pub(super) struct Change<'a> {
    /// Before the change.
    pub(super) old: Side<'a>,
    /// After it.
    pub(super) new: Side<'a>,
    /// Of an update: the columns that changed, with their old values. `None` where they are not
    /// all known.
    pub(super) previous: Option<Fields<'a>>,
}

/// The row on one side of a change.
#[derive(Debug)]
pub(super) enum Side<'a> {
    /// There was none.
    Nothing,
    /// As it stands in the log.
    Stored(&'a str),
    /// Put together from the record and the previous values.
    Composed(Fields<'a>),
    /// The event does not say.
    Unknown,
}

impl<'a> Change<'a> {
    /// Reads an event.
    pub(super) fn of(event: &'a Event) -> Self {
        let record = event.record.as_deref();
        match event.action {
            Action::Created | Action::Snapshot => Self::between(Side::Nothing, stored(record)),
            Action::Updated | Action::Restored | Action::Changed => {
                Self::update(record, previous(event))
            }
            Action::Deleted if event.is_soft_delete() => {
                let marked = Self::update(record, previous(event));
                Self::between(marked.old, Side::Nothing)
            }
            Action::Deleted => Self::between(stored(record), Side::Nothing),
            Action::Truncated | Action::Custom | Action::Noted => {
                Self::between(Side::Nothing, record.map_or(Side::Nothing, Side::Stored))
            }
        }
    }

    fn between(old: Side<'a>, new: Side<'a>) -> Self {
        Self {
            old,
            new,
            previous: None,
        }
    }

    fn update(record: Option<&'a str>, previous: Option<Fields<'a>>) -> Self {
        let known = record.and_then(Fields::read).zip(previous);
        let Some((row, previous)) = known else {
            return Self::between(Side::Unknown, stored(record));
        };
        Self {
            old: Side::Composed(row.overlaid_by(&previous)),
            new: stored(record),
            previous: Some(previous),
        }
    }
}

/// The columns that an update changed, with their old values, if together with the record they make
/// up the whole old row. With the old key alone the other columns may have changed as well.
pub(super) fn previous(event: &Event) -> Option<Fields<'_>> {
    match event.old_row {
        OldRow::Full => event.previous.as_deref().and_then(Fields::read),
        OldRow::Absent | OldRow::Key | OldRow::Partial => None,
    }
}

fn stored(record: Option<&str>) -> Side<'_> {
    record.map_or(Side::Unknown, Side::Stored)
}

impl Side<'_> {
    /// Writes it as a member, `null` where there was no row; nothing where it is not known.
    pub(super) fn member(&self, json: &mut Json, key: &'static str) {
        if !matches!(self, Self::Unknown) {
            json.key(key);
            self.value(json);
        }
    }

    /// The same as a member with a name of any kind; nothing where there was no row, either.
    pub(super) fn named(&self, json: &mut Json, name: &str) {
        if !matches!(self, Self::Unknown | Self::Nothing) {
            json.name(name);
            self.value(json);
        }
    }

    fn value(&self, json: &mut Json) {
        match self {
            Self::Nothing | Self::Unknown => json.raw("null"),
            Self::Stored(record) => json.raw(record),
            Self::Composed(fields) => {
                json.open();
                for member in fields.iter() {
                    json.member(member.key, member.value);
                }
                json.close();
            }
        }
    }
}
