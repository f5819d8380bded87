//! The events of one row as people read them: when, what, who, and what changed.

use comfy_table::Table;

use super::print;
use crate::event::past;
use crate::event::{Action, Event, Fields, Member, OldRow, rfc3339};
use crate::fault::Result;

/// Characters of a value, and of who did it, that are shown.
const WIDTH: usize = 100;

/// Tells the story of a row, the oldest event first.
///
/// # Errors
/// If standard output cannot be written.
pub(super) fn tell(events: &[Event]) -> Result<()> {
    let mut was_there = false;
    for event in events {
        if was_there && event.action == Action::Created {
            print::line(format!(
                "    (the row was gone before: given another key, or its table emptied; \
                 `rowhook events at … --sequence-id {}` tells)",
                event.sequence_id - 1
            ))?;
        }
        was_there = match past::is_of_a_row(event) {
            true => !past::is_gone(event),
            false => was_there,
        };
        print::line(head(event))?;
        let rows = changes(event);
        if !rows.is_empty() {
            print::line(aligned(rows))?;
        }
        for remark in remarks(event) {
            print::line(format!("    {remark}"))?;
        }
    }
    Ok(())
}

fn head(event: &Event) -> String {
    let mut head = format!(
        "#{}  {}  {}",
        event.sequence_id,
        rfc3339(event.created_at),
        event.event_type
    );
    if let Some(who) = who(event) {
        head.push_str("  by ");
        head.push_str(&who);
    }
    head
}

/// What the application said of its transaction, as `user_id=7 role=editor`.
pub(super) fn who(event: &Event) -> Option<String> {
    let context = Fields::read(event.context.as_deref()?)?;
    let mut said = Vec::new();
    for part in ["sessionVariables", "traceContext"] {
        let members = context
            .named(part)
            .and_then(|part| Fields::read(part.value));
        for member in members.unwrap_or_default().iter() {
            said.push(format!(
                "{}={}",
                member.name(),
                member.value.trim_matches('"')
            ));
        }
    }
    (!said.is_empty()).then(|| short(&said.join(" ")))
}

/// One row for each field that has something to tell: its name and what became of it.
fn changes(event: &Event) -> Vec<[String; 2]> {
    let fields = |text: Option<&str>| -> Vec<[String; 2]> {
        let fields = text.and_then(Fields::read).unwrap_or_default();
        let row = |member: &Member<'_>| [member.name().into_owned(), short(member.value)];
        fields.iter().map(row).collect()
    };
    match event.action {
        Action::Updated | Action::Restored | Action::Changed => updates(event),
        Action::Deleted if !past::is_gone(event) => updates(event),
        Action::Deleted | Action::Truncated => Vec::new(),
        Action::Created | Action::Snapshot | Action::Noted => fields(event.record.as_deref()),
        Action::Custom => {
            let said = fields(event.data.as_deref());
            match (&event.data, said.is_empty()) {
                (Some(data), true) => vec![["data".to_owned(), short(data)]],
                _ => said,
            }
        }
    }
}

fn updates(event: &Event) -> Vec<[String; 2]> {
    let record = event
        .record
        .as_deref()
        .and_then(Fields::read)
        .unwrap_or_default();
    let previous = event
        .previous
        .as_deref()
        .and_then(Fields::read)
        .unwrap_or_default();
    let row = |old: &Member<'_>| {
        let new = record.get(old.key).map_or("(not known)", |new| new.value);
        let change = format!("{} → {}", short(old.value), short(new));
        [old.name().into_owned(), change]
    };
    previous.iter().map(row).collect()
}

/// What the values do not tell.
fn remarks(event: &Event) -> Vec<String> {
    let mut remarks = Vec::new();
    if event.action.is_update() {
        match (event.old_row, &event.previous) {
            (OldRow::Full, Some(previous)) if previous.trim() == "{}" => {
                remarks.push("nothing changed".to_owned());
            }
            (OldRow::Full, _) => {}
            (OldRow::Key | OldRow::Partial, _) => {
                remarks.push(
                    "other fields may have changed: their old values are not known".to_owned(),
                );
            }
            (OldRow::Absent, _) => remarks.push("old values are not known".to_owned()),
        }
    }
    if !event.unknown.is_empty() {
        remarks.push(format!("not known: {}", event.unknown.join(", ")));
    }
    if let Some(erased_at) = event.erased_at {
        remarks.push(format!("values were erased at {}", rfc3339(erased_at)));
    }
    remarks
}

fn aligned(rows: Vec<[String; 2]>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    for row in rows {
        table.add_row(row);
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| format!("   {}", line.trim_end()))
        .collect();
    lines.join("\n")
}

/// What stands beside the row in an event: who did it, whose it is, what it is about.
///
/// # Errors
/// If standard output cannot be written.
pub(super) fn describe_beside(event: &Event) -> Result<()> {
    let beside = [
        ("by", who(event)),
        ("tenant", event.tenant.as_deref().map(str::to_owned)),
        ("related", event.related.as_deref().map(str::to_owned)),
        ("data", event.data.as_deref().map(str::to_owned)),
        ("erased", event.erased_at.map(rfc3339)),
    ];
    for (name, value) in beside {
        if let Some(value) = value {
            print::line(format!("{name:<10} {value}"))?;
        }
    }
    print::line(format!(
        "deliveries `rowhook explain {}` tells what became of it",
        event.sequence_id
    ))?;
    print::line("")
}

/// What people are shown of a value.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;

    fn event(action: Action, record: &str, previous: Option<&str>, old_row: OldRow) -> Event {
        Event {
            sequence_id: 3,
            event_id: uuid::Uuid::nil(),
            event_type: format!("posts.{}", action.as_str()).into(),
            resource: "posts".into(),
            resource_id: Some("1".into()),
            action,
            created_at: 0,
            record: Some(record.into()),
            previous: previous.map(Into::into),
            context: Some(r#"{"sessionVariables":{"user_id":7,"role":"editor"},"traceContext":{"traceparent":"00-a"}}"#.into()),
            data: None,
            tenant: None,
            related: None,
            old_row,
            unknown: Vec::new(),
            as_text: Vec::new(),
            erased_at: None,
            origin: Origin {
                schema: "public".into(),
                table: "posts".into(),
                xid: 1,
                commit_lsn: "0/1".parse().unwrap(),
                index: 0,
            },
        }
    }

    #[test]
    fn an_update_tells_what_changed_and_who_did_it() {
        let updated = event(
            Action::Updated,
            r#"{"id":1,"ti\u0074le":"b"}"#,
            Some(r#"{"title":"a"}"#),
            OldRow::Full,
        );
        assert_eq!(changes(&updated), [["title", "\"a\" → \"b\""]]);
        assert!(remarks(&updated).is_empty());
        let head = head(&updated);
        assert!(head.starts_with("#3  1970-01-01T00:00:00"), "{head}");
        assert!(
            head.ends_with("posts.updated  by user_id=7 role=editor traceparent=00-a"),
            "{head}"
        );
    }

    #[test]
    fn what_is_not_known_is_said() {
        let remarked =
            |previous, old_row| remarks(&event(Action::Updated, "{}", previous, old_row)).join("");
        assert_eq!(remarked(None, OldRow::Absent), "old values are not known");
        assert_eq!(remarked(Some("{}"), OldRow::Full), "nothing changed");
        assert!(remarked(Some("{}"), OldRow::Key).contains("may have changed"));
        let lacking = Event {
            unknown: vec!["body".into()],
            erased_at: Some(0),
            ..event(Action::Created, r#"{"id":1}"#, None, OldRow::Absent)
        };
        assert_eq!(changes(&lacking), [["id", "1"]]);
        assert_eq!(remarks(&lacking)[0], "not known: body");
        assert!(remarks(&lacking)[1].contains("erased"));
    }

    #[test]
    fn an_event_of_the_application_tells_its_data() {
        let said = |data: &'static str| {
            let event = Event {
                data: Some(data.into()),
                ..event(Action::Custom, "{}", None, OldRow::Absent)
            };
            changes(&event)
        };
        assert_eq!(said(r#"{"total":5}"#), [["total", "5"]]);
        assert_eq!(said("[1]"), [["data", "[1]"]]);
    }
}
