//! What is left of an event whose values have to go. Pure.
//!
//! A value that was erased is missing, and its column is listed as unknown: so everything that reads
//! events already knows what to make of it, and nobody takes it for null or for a value that did not
//! change.

use std::collections::BTreeSet;

use bytestring::ByteString;

use super::{Action, Event, Fields, Member, OldRow};

/// Which values go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erasure {
    /// All but the key's.
    All,
    /// Those of these columns.
    Fields(BTreeSet<String>),
}

/// What is left of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// The row.
    pub record: Option<ByteString>,
    /// Its old values.
    pub previous: Option<ByteString>,
    /// Who did it.
    pub context: Option<ByteString>,
    /// What the application said.
    pub data: Option<ByteString>,
    /// Ids of other rows.
    pub related: Option<ByteString>,
    /// How much of the old row is still known.
    pub old_row: OldRow,
    /// Columns whose value is missing.
    pub unknown: Vec<String>,
    /// Columns whose value stands as text.
    pub as_text: Vec<String>,
}

impl Remains {
    fn whole(event: &Event) -> Self {
        Self {
            record: event.record.clone(),
            previous: event.previous.clone(),
            context: event.context.clone(),
            data: event.data.clone(),
            related: event.related.clone(),
            old_row: event.old_row,
            unknown: event.unknown.clone(),
            as_text: event.as_text.clone(),
        }
    }
}

impl Erasure {
    /// What it leaves of an event of a row whose key has these columns (none, where nobody knows
    /// them); `None` where there is nothing to erase.
    #[must_use]
    pub fn of(&self, event: &Event, key: &[String]) -> Option<Remains> {
        let remains = match self {
            Self::All => all_but_key(event, key),
            Self::Fields(fields) => without_fields(event, fields),
        };
        (remains != Remains::whole(event)).then_some(remains)
    }
}

fn all_but_key(event: &Event, key: &[String]) -> Remains {
    let stays = |member: &Member<'_>| key.iter().any(|column| *column == member.name());
    let record = cut(event.record.as_ref(), stays);
    // Old values tell a row that was marked as deleted from one that is gone.
    let marked = event.action == Action::Deleted;
    let previous = cut(event.previous.as_ref(), stays).filter(|_| marked || !key.is_empty());
    let old_row = match (event.action, event.old_row) {
        (Action::Created | Action::Snapshot, old_row) => old_row,
        (_, OldRow::Absent) => OldRow::Absent,
        _ if key.is_empty() => OldRow::Absent,
        _ => OldRow::Key,
    };
    let (unknown, as_text) = lists(event, |member| !stays(member));
    Remains {
        record,
        previous,
        context: None,
        data: None,
        related: None,
        old_row,
        unknown,
        as_text,
    }
}

fn without_fields(event: &Event, fields: &BTreeSet<String>) -> Remains {
    let goes = |member: &Member<'_>| fields.contains(&*member.name());
    let stays = |member: &Member<'_>| !goes(member);
    let (record, previous) = (
        cut(event.record.as_ref(), stays),
        cut(event.previous.as_ref(), stays),
    );
    let touched = record != event.record || previous != event.previous;
    let old_row = match event.old_row {
        // Whether an erased value had changed is not told any more.
        OldRow::Full if touched => OldRow::Partial,
        old_row => old_row,
    };
    let field_events =
        |field: &String| *event.event_type == *format!("{}.{field}.changed", event.resource);
    let data = match event.action {
        Action::Changed if fields.iter().any(field_events) => None,
        _ => cut(event.data.as_ref(), stays),
    };
    let (unknown, as_text) = lists(event, goes);
    Remains {
        related: cut(event.related.as_ref(), |member| !names(fields, member)),
        record,
        previous,
        context: event.context.clone(),
        data,
        old_row,
        unknown,
        as_text,
    }
}

/// Whether a related id may be that of an erased column: `authorId` is that of `author_id` or `author`.
fn names(fields: &BTreeSet<String>, member: &Member<'_>) -> bool {
    let plain = |name: &str| {
        let kept = name.chars().filter(|char| char.is_alphanumeric());
        kept.collect::<String>().to_lowercase()
    };
    let name = plain(&member.name());
    // That of several columns is one word of them all: rather one id too many than one too few.
    fields.iter().any(|field| name.contains(&plain(field)))
}

/// The lists of unknown columns and of those that stand as text, once what `goes` is gone.
fn lists(event: &Event, goes: impl Fn(&Member<'_>) -> bool) -> (Vec<String>, Vec<String>) {
    let mut unknown = event.unknown.clone();
    let mut as_text = event.as_text.clone();
    for text in [&event.record, &event.previous].into_iter().flatten() {
        for member in Fields::read(text).unwrap_or_default().iter() {
            let name = member.name();
            if goes(member) {
                as_text.retain(|column| *column != *name);
                if !unknown.iter().any(|column| *column == *name) {
                    unknown.push(name.into_owned());
                }
            }
        }
    }
    (unknown, as_text)
}

/// An object without members that do not stay; untouched where all do. What is no object has no
/// columns, and stays.
fn cut(text: Option<&ByteString>, stays: impl Fn(&Member<'_>) -> bool) -> Option<ByteString> {
    let text = text?;
    let Some(fields) = Fields::read(text) else {
        return Some(text.clone());
    };
    if fields.iter().all(&stays) {
        return Some(text.clone());
    }
    let member = |member: &Member<'_>| format!("{}:{}", member.key, member.value);
    let left: Vec<String> = fields
        .iter()
        .filter(|member| stays(member))
        .map(member)
        .collect();
    Some(format!("{{{}}}", left.join(",")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;

    fn event(action: Action, record: &str, previous: Option<&str>, old_row: OldRow) -> Event {
        Event {
            sequence_id: 1,
            event_id: uuid::Uuid::nil(),
            event_type: "users.updated".into(),
            resource: "users".into(),
            resource_id: Some("7".into()),
            action,
            created_at: 0,
            record: Some(record.into()),
            previous: previous.map(Into::into),
            context: Some(r#"{"sessionVariables":{"user":"me"}}"#.into()),
            data: None,
            tenant: Some("t".into()),
            related: Some(r#"{"teamId":"3","authorId":"7"}"#.into()),
            old_row,
            unknown: vec!["bio".into()],
            as_text: vec!["born".into()],
            erased_at: None,
            origin: Origin {
                schema: "public".into(),
                table: "users".into(),
                xid: 1,
                commit_lsn: "0/1".parse().unwrap(),
                index: 0,
            },
        }
    }

    fn updated() -> Event {
        let record = r#"{"id":7,"email":"new@x","born":"?","team_id":3}"#;
        event(
            Action::Updated,
            record,
            Some(r#"{"email":"old@x","id":6}"#),
            OldRow::Full,
        )
    }

    #[test]
    fn of_a_whole_event_the_key_is_left() {
        let key = ["id".to_owned()];
        let left = Erasure::All.of(&updated(), &key).unwrap();
        assert_eq!(left.record.as_deref(), Some(r#"{"id":7}"#));
        assert_eq!(left.previous.as_deref(), Some(r#"{"id":6}"#));
        assert_eq!(left.old_row, OldRow::Key);
        assert_eq!(left.unknown, ["bio", "email", "born", "team_id"]);
        assert_eq!((left.context, left.data, left.related), (None, None, None));
        assert!(left.as_text.is_empty());

        let left = Erasure::All.of(&updated(), &[]).unwrap();
        assert_eq!(left.record.as_deref(), Some("{}"));
        assert_eq!((left.previous, left.old_row), (None, OldRow::Absent));
        let marked = Event {
            action: Action::Deleted,
            ..updated()
        };
        let left = Erasure::All.of(&marked, &[]).unwrap();
        assert_eq!(left.previous.as_deref(), Some("{}"));
    }

    #[test]
    fn of_single_fields_the_others_are_left() {
        let erase = |fields: &[&str]| {
            Erasure::Fields(fields.iter().map(ToString::to_string).collect()).of(&updated(), &[])
        };
        let left = erase(&["email", "born"]).unwrap();
        assert_eq!(left.record.as_deref(), Some(r#"{"id":7,"team_id":3}"#));
        assert_eq!(left.previous.as_deref(), Some(r#"{"id":6}"#));
        assert_eq!(left.old_row, OldRow::Partial);
        assert_eq!(left.unknown, ["bio", "email", "born"]);
        assert!(left.as_text.is_empty());
        assert_eq!(
            (left.context, left.related),
            (updated().context, updated().related)
        );
        let left = erase(&["team_id"]).unwrap();
        assert_eq!(left.related.as_deref(), Some(r#"{"authorId":"7"}"#));
        // A foreign key of a column `author` is `authorId`, too, and one of two columns has both names.
        let left = erase(&["author"]).unwrap();
        assert_eq!(left.related.as_deref(), Some(r#"{"teamId":"3"}"#));
        assert_eq!(erase(&["bio", "none"]), None);
    }

    #[test]
    fn what_is_erased_already_is_left_alone() {
        let key = ["id".to_owned()];
        let left = Erasure::All.of(&updated(), &key).unwrap();
        let erased = Event {
            record: left.record,
            previous: left.previous,
            context: None,
            data: None,
            related: None,
            old_row: left.old_row,
            unknown: left.unknown,
            as_text: left.as_text,
            ..updated()
        };
        assert_eq!(Erasure::All.of(&erased, &key), None);
    }

    #[test]
    fn the_applications_own_events_lose_what_they_say() {
        let said = Event {
            record: None,
            data: Some(r#"{"email":"new@x","amount":5}"#.into()),
            ..event(Action::Custom, "{}", None, OldRow::Absent)
        };
        assert_eq!(Erasure::All.of(&said, &[]).unwrap().data, None);
        let fields = Erasure::Fields(["email".to_owned()].into());
        let left = fields.of(&said, &[]).unwrap();
        assert_eq!(left.data.as_deref(), Some(r#"{"amount":5}"#));
        let changed = Event {
            event_type: "users.email.changed".into(),
            ..Event {
                action: Action::Changed,
                ..said
            }
        };
        assert_eq!(fields.of(&changed, &[]).unwrap().data, None);
    }
}
