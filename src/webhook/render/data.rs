//! The `data` of a payload: `old`, `new` and `changes`, derived from the record and the previous
//! values. Source: Snaapi, "Event Data Structure".

use super::change::Change;
use super::own_data;
use crate::event::{Action, Event, Fields};
use crate::webhook::json::Json;

/// Writes `{"old":…,"new":…,"changes":{…}}`; what is not known is left out. A custom event has the
/// object that it is about as `new`, and what it says beside it.
pub(super) fn write(json: &mut Json, event: &Event) {
    let change = Change::of(event);
    json.open();
    change.old.member(json, "old");
    change.new.member(json, "new");
    if let Some(lists) = Lists::of(event, change.previous) {
        lists.write(json);
    }
    own_data(json, event);
    json.close();
}

/// Whose keys are listed where; `None` lists nothing.
#[derive(Default)]
struct Lists<'a> {
    added: Option<Fields<'a>>,
    updated: Option<Fields<'a>>,
    removed: Option<Fields<'a>>,
}

impl<'a> Lists<'a> {
    /// `None` where what changed is not known.
    fn of(event: &'a Event, previous: Option<Fields<'a>>) -> Option<Self> {
        let columns = || event.record.as_deref().and_then(Fields::read);
        let mut lists = Self::default();
        match event.action {
            Action::Created | Action::Snapshot => lists.added = Some(columns()?),
            Action::Updated | Action::Restored | Action::Changed => lists.updated = Some(previous?),
            Action::Deleted => lists.removed = Some(columns()?),
            Action::Truncated | Action::Custom | Action::Noted => {}
        }
        Some(lists)
    }

    fn write(&self, json: &mut Json) {
        json.key("changes");
        json.open();
        for (key, fields) in [
            ("added", &self.added),
            ("updated", &self.updated),
            ("removed", &self.removed),
        ] {
            json.key(key);
            json.array(fields.iter().flat_map(Fields::keys));
        }
        json.close();
    }
}
