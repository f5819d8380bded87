//! Events: what surrounds a row, by what happened to it.

use super::Writer;
use crate::event::Action;
use crate::ops::catalog::names::{pascal_case, property, quoted};
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
        let (data, more) = match occasion.action {
            Action::Created | Action::Snapshot => (format!("Inserted<{row}>"), String::new()),
            Action::Deleted if whole => (format!("Deleted<{row}>"), marked(resource, row)),
            Action::Deleted if resource.softly_deleted => (
                format!("PartlyDeleted<{}>", carried()),
                marked(resource, row),
            ),
            Action::Deleted => (format!("Deleted<{}>", carried()), String::new()),
            Action::Updated | Action::Restored | Action::Changed if whole => (
                format!("Updated<{row}>"),
                field_change(resource, occasion, row),
            ),
            Action::Updated | Action::Restored | Action::Changed => {
                let change = field_change(resource, occasion, row);
                let more = format!(" & {{ previousValues?: Partial<{row}> }}{change}");
                (format!("PartlyUpdated<{row}, {}>", carried()), more)
            }
            Action::Truncated | Action::Custom | Action::Noted => {
                return format!("EventOf<{kind}, {name}, {id}, Truncated>");
            }
        };
        let more = more + &belongings(resource);
        if occasion.action.is_update() && whole {
            format!("UpdateOf<{kind}, {name}, {id}, {data}, {row}>{more}")
        } else {
            format!("EventOf<{kind}, {name}, {id}, {data}>{more}")
        }
    }
}

/// What the mark of a softly deleted row changed.
fn marked(resource: &Resource, row: &str) -> String {
    match resource.softly_deleted {
        true => format!(" & Marked<{row}>"),
        false => String::new(),
    }
}

fn field_change(resource: &Resource, occasion: &Occasion, row: &str) -> String {
    let Some(name) = occasion.field.as_deref().map(quoted) else {
        return String::new();
    };
    match resource.field(occasion) {
        Some(_) => format!(" & {{ fieldChange: FieldChange<{name}, {row}[{name}]> }}"),
        None => format!(" & {{ fieldChange: {{ fieldName: {name} }} }}"),
    }
}

/// Whose a row is, and what it names.
fn belongings(resource: &Resource) -> String {
    let tenant = resource.tenant.iter().map(|_| "tenant?: string".to_owned());
    let ids = resource.related.iter();
    let ids: Vec<String> = ids
        .map(|name| format!("{}?: string", property(name)))
        .collect();
    let related = (!ids.is_empty()).then(|| format!("relatedIds?: {{ {} }}", ids.join("; ")));
    let members: Vec<String> = tenant.chain(related).collect();
    if members.is_empty() {
        String::new()
    } else {
        format!(" & {{ {} }}", members.join("; "))
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
