//! Which columns of an event are passed on.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Action, Event, Fields};

/// Columns that are kept of an event; the others are cut out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(BTreeSet<String>);

impl Selection {
    /// Keeps these columns.
    #[must_use]
    pub fn of(columns: &[String]) -> Self {
        Self(columns.iter().cloned().collect())
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The event with these columns only: in the record, in the previous values, and where columns
    /// are listed by name. What it is about (its type, its resource id, its tenant) stays, and so does
    /// what is about no row: rowhook's own notes have no columns, nor has what a custom event says. Ids
    /// of other rows go, as values of columns that they are.
    #[must_use]
    pub fn cut(&self, event: &Event) -> Event {
        let mut event = event.clone();
        if event.action == Action::Noted {
            return event;
        }
        for row in [&mut event.record, &mut event.previous] {
            if let Some(cut) = row.as_deref().and_then(|row| self.cut_row(row)) {
                *row = Some(cut.into());
            }
        }
        event.related = None;
        event.unknown.retain(|column| self.0.contains(column));
        event.as_text.retain(|column| self.0.contains(column));
        event
    }

    /// `None` for what is no row: there is nothing to cut in it.
    fn cut_row(&self, row: &str) -> Option<String> {
        let fields = Fields::read(row)?;
        let mut cut = String::from("{");
        for member in fields.iter() {
            let name: Cow<'_, str> = member.name();
            if !self.0.contains(&*name) {
                continue;
            }
            if cut.len() > 1 {
                cut.push(',');
            }
            cut.push_str(member.key);
            cut.push(':');
            cut.push_str(member.value);
        }
        cut.push('}');
        Some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{OldRow, Origin};

    fn event(record: &str, previous: Option<&str>) -> Event {
        Event {
            sequence_id: 1,
            event_id: uuid::Uuid::nil(),
            event_type: "t.updated".into(),
            resource: "t".into(),
            resource_id: Some("1".into()),
            action: Action::Updated,
            created_at: 0,
            record: Some(record.into()),
            previous: previous.map(Into::into),
            context: Some(r#"{"a":1}"#.into()),
            data: None,
            tenant: None,
            related: Some(r#"{"yId":"1"}"#.into()),
            old_row: OldRow::Full,
            unknown: vec!["a".into(), "x".into()],
            as_text: vec!["x".into(), "ü".into()],
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

    fn selection() -> Selection {
        Selection::of(&["ü".into(), "a".into(), "q\"".into(), "none".into()])
    }

    #[test]
    fn of_a_custom_event_the_object_is_cut_and_not_what_it_says() {
        let custom = Event {
            action: Action::Custom,
            data: Some(r#"{"x":1}"#.into()),
            ..event(r#"{"x":1,"a":2}"#, None)
        };
        let cut = selection().cut(&custom);
        assert_eq!(cut.record.as_deref(), Some(r#"{"a":2}"#));
        assert_eq!(cut.data, custom.data);
        let noted = Event {
            action: Action::Noted,
            ..custom
        };
        assert_eq!(selection().cut(&noted).record, noted.record);
    }

    #[test]
    fn columns_are_cut_as_text_in_their_order() {
        let whole = event(
            r#" {"x":1,"\u00fc": 1.50 ,"q\"":"\ud800","y":{"a":1},"a":[1, 2],"a":3}"#,
            Some(r#"{"x":0,"ü":1e400}"#),
        );
        let cut = selection().cut(&whole);
        assert_eq!(
            cut.record.as_deref(),
            Some(r#"{"\u00fc":1.50,"q\"":"\ud800","a":3}"#)
        );
        assert_eq!(cut.previous.as_deref(), Some(r#"{"ü":1e400}"#));
        assert_eq!(
            (cut.unknown, cut.as_text),
            (vec!["a".into()], vec!["ü".into()])
        );
        assert_eq!(cut.resource_id.as_deref(), Some("1"));
        assert_eq!(cut.context, whole.context);
        assert_eq!(cut.related, None);
    }

    #[test]
    fn what_is_not_known_stays_unknown_and_a_note_stays_whole() {
        let cut = selection().cut(&event(r#"{"x":1}"#, None));
        assert_eq!(cut.record.as_deref(), Some("{}"));
        assert_eq!(cut.previous, None);
        let note = Event {
            action: Action::Noted,
            ..event(r#"{"reason":"slot dropped"}"#, None)
        };
        assert_eq!(selection().cut(&note).record, note.record);
    }
}
