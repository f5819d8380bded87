//! A row as it was, put together from its events. Pure: it is given events, the newest first.
//!
//! A value that an event lacks because the update did not touch it (TOAST) stands in the event before
//! it, unless that belongs to another row, or something may be missing in between. What nobody knows
//! stays unknown: it is never shown as null.

use super::{Action, Event, Fields, OldRow};

/// A value, and the event that tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The column's name as JSON text.
    pub key: String,
    /// The value as JSON text.
    pub value: String,
    /// Sequence id of the event.
    pub told_by: i64,
}

/// The values of a row that are known, and the columns that are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// Values in the order of the columns; those that earlier events tell come last.
    pub values: Vec<Value>,
    /// Columns whose values are not known.
    pub unknown: Vec<String>,
    /// Columns that an earlier event may tell.
    wanted: Vec<String>,
}

impl Past {
    /// The row after an event.
    #[must_use]
    pub fn after(event: &Event) -> Self {
        let mut past = Self::default();
        let record = event.record.as_deref().and_then(Fields::read);
        for member in record.unwrap_or_default().iter() {
            past.put(member.key, member.value, event.sequence_id);
        }
        match tells_unchanged(event) {
            true => past.wanted.clone_from(&event.unknown),
            false => past.unknown.clone_from(&event.unknown),
        }
        past
    }

    /// The row before an event that changed or deleted it, as far as that event tells.
    #[must_use]
    pub fn before(event: &Event) -> Self {
        let mut past = Self {
            unknown: event.unknown.clone(),
            ..Self::default()
        };
        let record = event
            .record
            .as_deref()
            .and_then(Fields::read)
            .unwrap_or_default();
        if is_gone(event) {
            for member in record.iter() {
                past.put(member.key, member.value, event.sequence_id);
            }
            return past;
        }
        let previous = event
            .previous
            .as_deref()
            .and_then(Fields::read)
            .unwrap_or_default();
        for member in record.iter() {
            match previous.get(member.key) {
                Some(old) => past.put(member.key, old.value, event.sequence_id),
                None if event.old_row == OldRow::Full => {
                    past.put(member.key, member.value, event.sequence_id);
                }
                None => past.unknown.push(member.name().into_owned()),
            }
        }
        past
    }

    /// Whether an earlier event may tell more.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Takes what the row's event before the last one tells. `is_start`: what lies before it is
    /// another row, or may be missing.
    pub fn earlier(&mut self, event: &Event, is_start: bool) {
        if is_gone(event) {
            return self.no_more();
        }
        let record = event
            .record
            .as_deref()
            .and_then(Fields::read)
            .unwrap_or_default();
        for column in std::mem::take(&mut self.wanted) {
            if let Some(member) = record.named(&column) {
                self.put(member.key, member.value, event.sequence_id);
            } else if tells_unchanged(event) && event.unknown.contains(&column) {
                self.wanted.push(column);
            } else {
                self.unknown.push(column);
            }
        }
        if is_start || !goes_on(event) {
            self.no_more();
        }
    }

    /// There is no earlier event of this row, or something may be missing before the last one.
    pub fn no_more(&mut self) {
        self.unknown.append(&mut self.wanted);
    }

    fn put(&mut self, key: &str, value: &str, told_by: i64) {
        self.values.push(Value {
            key: key.to_owned(),
            value: value.to_owned(),
            told_by,
        });
    }
}

/// Whether nothing is left of the row. One that was deleted by marking it is still there: its event
/// has old values, as that of any update.
#[must_use]
pub fn is_gone(event: &Event) -> bool {
    event.action == Action::Deleted && event.previous.is_none()
}

/// Whether the row was there before and is there after.
fn goes_on(event: &Event) -> bool {
    event.action.is_update() || event.action == Action::Deleted && event.previous.is_some()
}

/// Whether what an event lacks is as it was before: an update does not carry large values that it did
/// not touch. With the whole old row it does; then a value is missing because it was too long for
/// the log. Of an erased event nobody can tell any more.
fn tells_unchanged(event: &Event) -> bool {
    goes_on(event) && event.old_row != OldRow::Full && event.erased_at.is_none()
}

/// Whether an event says how a row stands: the application's own events and rowhook's notes do not.
#[must_use]
pub fn is_of_a_row(event: &Event) -> bool {
    match event.action {
        Action::Created
        | Action::Updated
        | Action::Restored
        | Action::Snapshot
        | Action::Deleted => true,
        // What happened to one field is told by the event of the whole row as well.
        Action::Changed | Action::Truncated | Action::Custom | Action::Noted => false,
    }
}

/// Whether an update gave its row another key, one of whose columns may be in `keys`.
#[must_use]
pub fn changed_key(event: &Event, keys: &[Vec<String>]) -> bool {
    let previous = event.previous.as_deref().and_then(Fields::read);
    previous.is_some_and(|previous| {
        let mut columns = keys.iter().flatten();
        columns.any(|column| previous.named(column).is_some())
    })
}

/// Whether an update took a row away from the key that `holder` has: `record` and `previous` are the
/// update's.
#[must_use]
pub fn took_key_of(
    holder: &Fields<'_>,
    key: &[String],
    record: &Fields<'_>,
    previous: &Fields<'_>,
) -> bool {
    let old = |column: &String| previous.named(column).or_else(|| record.named(column));
    let same = |column: &String| {
        let held = holder.named(column).map(|member| member.value);
        held.is_some() && held == old(column).map(|member| member.value)
    };
    !key.is_empty()
        && key.iter().any(|column| previous.named(column).is_some())
        && key.iter().all(same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;

    fn event(sequence_id: i64, action: Action, record: &str, unknown: &[&str]) -> Event {
        Event {
            sequence_id,
            event_id: uuid::Uuid::nil(),
            event_type: "t.x".into(),
            resource: "t".into(),
            resource_id: Some("1".into()),
            action,
            created_at: 0,
            record: Some(record.into()),
            previous: None,
            context: None,
            data: None,
            tenant: None,
            related: None,
            old_row: OldRow::Absent,
            unknown: unknown.iter().map(ToString::to_string).collect(),
            as_text: Vec::new(),
            erased_at: None,
            origin: Origin {
                schema: "public".into(),
                table: "t".into(),
                xid: 1,
                commit_lsn: "0/1".parse().unwrap(),
                index: 0,
            },
        }
    }

    fn shown(past: &Past) -> String {
        let values: Vec<String> = past
            .values
            .iter()
            .map(|value| {
                format!(
                    "{}={}@{}",
                    value.key.trim_matches('"'),
                    value.value,
                    value.told_by
                )
            })
            .collect();
        format!("{} ?{}", values.join(" "), past.unknown.join(","))
    }

    /// The row after the first of these events; the others are earlier ones.
    fn after(events: &[Event]) -> String {
        let mut events = events.iter();
        let mut past = Past::after(events.next().unwrap());
        for earlier in events {
            if past.wants_more() {
                past.earlier(earlier, false);
            }
        }
        past.no_more();
        shown(&past)
    }

    #[test]
    fn a_value_that_was_not_touched_is_told_by_an_earlier_event() {
        let updated = |id, unknown: &[&str]| event(id, Action::Updated, r#"{"id":1}"#, unknown);
        let created = event(
            3,
            Action::Created,
            r#"{"id":1,"body":"long","n":null}"#,
            &[],
        );
        let events = [
            updated(9, &["body"]),
            updated(5, &["body"]),
            created.clone(),
        ];
        assert_eq!(after(&events), r#"id=1@9 body="long"@3 ?"#);
        // Nothing before a row was created, or after it was deleted, is of this row.
        let other = event(2, Action::Created, r#"{"id":1,"x":1}"#, &[]);
        let events = [updated(9, &["x"]), created.clone(), other.clone()];
        assert_eq!(after(&events), "id=1@9 ?x");
        let deleted = event(4, Action::Deleted, r#"{"id":1,"x":2}"#, &[]);
        assert_eq!(after(&[updated(9, &["x"]), deleted, other]), "id=1@9 ?x");
        assert_eq!(after(&[updated(9, &["x"])]), "id=1@9 ?x");
    }

    #[test]
    fn what_was_cut_or_erased_is_not_filled_in() {
        let created = event(3, Action::Created, r#"{"id":1,"body":"long"}"#, &[]);
        let cut = Event {
            old_row: OldRow::Full,
            ..event(9, Action::Updated, r#"{"id":1}"#, &["body"])
        };
        let erased = Event {
            erased_at: Some(1),
            ..event(9, Action::Updated, r#"{"id":1}"#, &["body"])
        };
        for last in [cut, erased.clone()] {
            assert_eq!(after(&[last, created.clone()]), "id=1@9 ?body");
        }
        let last = event(10, Action::Updated, r#"{"id":1}"#, &["body"]);
        assert_eq!(after(&[last, erased, created]), "id=1@10 ?body");
    }

    #[test]
    fn a_change_of_key_ends_what_an_earlier_event_can_tell() {
        let keys = [vec!["id".to_owned()]];
        let moved = Event {
            previous: Some(r#"{"id":0,"n":1}"#.into()),
            ..event(8, Action::Updated, r#"{"id":1,"n":2}"#, &["body"])
        };
        assert!(changed_key(&moved, &keys));
        assert!(!changed_key(&moved, &[vec!["x".to_owned()]]));
        let mut past = Past::after(&event(9, Action::Updated, r#"{"id":1}"#, &["body"]));
        past.earlier(&moved, true);
        assert!(!past.wants_more());
        assert_eq!(past.unknown, ["body"]);
    }

    #[test]
    fn the_row_before_an_event_is_told_by_its_old_values() {
        let update = |old_row| Event {
            old_row,
            previous: Some(r#"{"a":"old"}"#.into()),
            ..event(7, Action::Updated, r#"{"id":1,"a":"new"}"#, &["body"])
        };
        let before = |event| shown(&Past::before(&event));
        assert_eq!(before(update(OldRow::Full)), r#"id=1@7 a="old"@7 ?body"#);
        assert_eq!(before(update(OldRow::Partial)), r#"a="old"@7 ?body,id"#);
        let deleted = event(7, Action::Deleted, r#"{"id":1}"#, &[]);
        assert_eq!(before(deleted), "id=1@7 ?");
        let marked = Event {
            action: Action::Deleted,
            ..update(OldRow::Full)
        };
        assert!(!is_gone(&marked));
        assert_eq!(before(marked), r#"id=1@7 a="old"@7 ?body"#);
    }

    #[test]
    fn a_key_is_taken_where_all_of_its_columns_were_the_same() {
        let key = ["a".to_owned(), "b".to_owned()];
        let took = |record, previous| {
            let [holder, record, previous] = [r#"{"a":1,"b":"x","c":7}"#, record, previous]
                .map(|text| Fields::read(text).unwrap());
            took_key_of(&holder, &key, &record, &previous)
        };
        assert!(took(r#"{"a":2,"b":"x"}"#, r#"{"a":1}"#));
        assert!(!took(r#"{"a":2,"b":"y"}"#, r#"{"a":1}"#), "another row's");
        assert!(
            !took(r#"{"a":1,"b":"x","c":8}"#, r#"{"c":7}"#),
            "no change of key"
        );
    }
}
