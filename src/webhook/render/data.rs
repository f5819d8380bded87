//! The `data` of a payload: `old`, `new` and `changes`, derived from the record and the previous
//! values. Source: Snaapi, "Event Data Structure".

use crate::event::Fields;
use crate::event::{Action, Event, OldRow};
use crate::webhook::json::Json;

/// Writes `{"old":…,"new":…,"changes":{…}}`; what is not known is left out.
pub(super) fn write(json: &mut Json, event: &Event) {
    let record = event.record.as_deref();
    json.open();
    match event.action {
        Action::Created | Action::Snapshot => created(json, record),
        Action::Updated => updated(json, record, old_values(event)),
        Action::Deleted => deleted(json, record),
        Action::Truncated | Action::Noted => {
            side(json, "old", Some("null"));
            side(json, "new", Some(record.unwrap_or("null")));
            changes(json, &Changes::default());
        }
    }
    json.close();
}

/// The previous values, if together with the record they make up the whole old row. With the old
/// key alone the other columns may have changed as well.
fn old_values(event: &Event) -> Option<Fields<'_>> {
    match event.old_row {
        OldRow::Full => event.previous.as_deref().and_then(Fields::read),
        OldRow::Absent | OldRow::Key | OldRow::Partial => None,
    }
}

fn created(json: &mut Json, record: Option<&str>) {
    side(json, "old", Some("null"));
    side(json, "new", record);
    if let Some(added) = record.and_then(Fields::read) {
        changes(
            json,
            &Changes {
                added: Some(&added),
                ..Changes::default()
            },
        );
    }
}

fn updated(json: &mut Json, record: Option<&str>, previous: Option<Fields<'_>>) {
    let known = record.and_then(Fields::read).zip(previous);
    let Some((row, previous)) = known else {
        side(json, "new", record);
        return;
    };
    json.key("old");
    json.open();
    for member in row.overlaid_by(&previous).iter() {
        json.member(member.key, member.value);
    }
    json.close();
    side(json, "new", record);
    changes(
        json,
        &Changes {
            updated: Some(&previous),
            ..Changes::default()
        },
    );
}

fn deleted(json: &mut Json, record: Option<&str>) {
    side(json, "old", record);
    side(json, "new", Some("null"));
    if let Some(removed) = record.and_then(Fields::read) {
        changes(
            json,
            &Changes {
                removed: Some(&removed),
                ..Changes::default()
            },
        );
    }
}

/// `old` or `new`, if it is known.
fn side(json: &mut Json, key: &'static str, value: Option<&str>) {
    if let Some(value) = value {
        json.key(key);
        json.raw(value);
    }
}

/// Whose keys are listed where; `None` lists nothing.
#[derive(Default)]
struct Changes<'a> {
    added: Option<&'a Fields<'a>>,
    updated: Option<&'a Fields<'a>>,
    removed: Option<&'a Fields<'a>>,
}

fn changes(json: &mut Json, changes: &Changes<'_>) {
    json.key("changes");
    json.open();
    for (key, fields) in [
        ("added", changes.added),
        ("updated", changes.updated),
        ("removed", changes.removed),
    ] {
        json.key(key);
        json.array(fields.into_iter().flat_map(Fields::keys));
    }
    json.close();
}
