//! Events: what surrounds a row, by what happened to it.

use super::Writer;
use crate::event::Action;
use crate::ops::catalog::names::{pascal_case, quoted};
use crate::ops::catalog::{Occasion, OldRows, Resource};

impl Writer<'_> {
    pub(super) fn event(resource: &Resource, occasion: &Occasion, row: &str) -> String {
        let whole = resource.old_rows == OldRows::Whole;
        let (kind, name) = (quoted(&occasion.event_type), quoted(&resource.name));
        let id = match occasion.action {
            Action::Truncated => "null",
            Action::Created | Action::Snapshot => "string",
            _ if resource.always_identified => "string",
            _ => "string | null",
        };
        let carried = || carried(resource, occasion.action, row);
        match occasion.action {
            Action::Created | Action::Snapshot => {
                format!("EventOf<{kind}, {name}, {id}, Inserted<{row}>>")
            }
            Action::Deleted if whole => format!("EventOf<{kind}, {name}, {id}, Deleted<{row}>>"),
            Action::Deleted => format!("EventOf<{kind}, {name}, {id}, Deleted<{}>>", carried()),
            Action::Updated | Action::Restored | Action::Changed if whole => {
                format!("UpdateOf<{kind}, {name}, {id}, Updated<{row}>, {row}>")
            }
            Action::Updated | Action::Restored | Action::Changed => {
                let new = carried();
                format!(
                    "EventOf<{kind}, {name}, {id}, PartlyUpdated<{row}, {new}>> & {{ previousValues?: Partial<{row}> }}"
                )
            }
            Action::Truncated | Action::Custom | Action::Noted => {
                format!("EventOf<{kind}, {name}, {id}, Truncated>")
            }
        }
    }
}

/// What follows a resource's name in the name of an event's type.
pub(super) fn suffix(resource: &Resource, occasion: &Occasion) -> String {
    let whole = &occasion.event_type;
    pascal_case(whole.strip_prefix(&*resource.name).unwrap_or(whole))
}

/// A row of which only some columns are sure to be there.
fn carried(resource: &Resource, action: Action, row: &str) -> String {
    let names: Vec<String> = resource
        .carried(action)
        .map(|it| quoted(&it.name))
        .collect();
    match names.as_slice() {
        [] => format!("Partial<{row}>"),
        names => format!("Pick<{row}, {}> & Partial<{row}>", names.join(" | ")),
    }
}
