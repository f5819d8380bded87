//! One row's life in the formats of other systems, byte for byte.

mod any_event;
mod cloudevents;
mod custom;
mod documented;
mod hasura;
mod rows;
mod sharetribe;
mod stelace;
mod thena;

use bytestring::ByteString;
use std::fmt::Write as _;

use super::tests::event;
use super::*;
use crate::event::{Action, OldRow, Origin};

/// A row's life, and what else there is.
fn events() -> Vec<(&'static str, Event)> {
    let deal = |action| Event {
        event_type: Arc::from(format!("sales_deal.{}", Action::as_str(action))),
        resource: Arc::from("sales_deal"),
        resource_id: Some("7".into()),
        created_at: 1_767_225_600_123_456,
        record: Some(
            r#"{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}"#
                .into(),
        ),
        origin: Origin {
            schema: Arc::from("public"),
            table: Arc::from("deals"),
            ..event(action).origin
        },
        ..event(action)
    };
    let updated = Event {
        previous: Some(
            r#"{"stage":"lead","details":{"city":"Bergen","area":47},"value":null}"#.into(),
        ),
        context: Some(
            r#"{"sessionVariables":{"x-hasura-role":"editor","user_id":7,"client_id":"app","source":"api"},"traceContext":{"trace_id":"501","requestId":"r-1"}}"#
                .into(),
        ),
        old_row: OldRow::Full,
        ..deal(Action::Updated)
    };
    let partly = Event {
        previous: Some(r#"{"stage":"lead"}"#.into()),
        old_row: OldRow::Partial,
        ..deal(Action::Updated)
    };
    let whole_table = |action, record: Option<&'static str>| Event {
        resource_id: None,
        record: record.map(ByteString::from_static),
        ..deal(action)
    };
    let noted = Event {
        event_type: Arc::from("rowhook.gap"),
        resource: Arc::from("rowhook"),
        origin: Origin {
            schema: Arc::from(""),
            table: Arc::from(""),
            ..event(Action::Noted).origin
        },
        ..whole_table(Action::Noted, Some(r#"{"cause":"lost"}"#))
    };
    vec![
        ("created", deal(Action::Created)),
        ("updated", updated),
        ("updated, not all of the old row known", partly),
        ("deleted", deal(Action::Deleted)),
        ("snapshot", deal(Action::Snapshot)),
        ("truncated", whole_table(Action::Truncated, None)),
        ("noted", noted),
    ]
}

fn renderer(format: Format) -> Renderer {
    Renderer {
        payload: Payload::default(),
        source: Arc::from("shop"),
        subscription: "billing".to_owned(),
        format,
    }
}

fn delivery() -> Delivery {
    Delivery {
        id: uuid::Uuid::from_u128(0x22),
        attempt: 2,
        replay: None,
    }
}

/// The text, checked to be one JSON document, with a line break after each comma of its outer
/// levels.
fn line_by_line(json: &[u8], levels: usize) -> String {
    serde_json::from_slice::<serde_json::Value>(json).unwrap();
    let (mut depth, mut quoted, mut lines) = (0, false, String::new());
    for char in std::str::from_utf8(json).unwrap().chars() {
        lines.push(char);
        match char {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            ',' if !quoted && depth <= levels => lines.push('\n'),
            _ => {}
        }
    }
    lines
}

/// Headers and body of every event.
fn rendered(format: Format) -> String {
    let levels = if format == Format::SharetribeApi {
        2
    } else {
        1
    };
    let mut text = String::new();
    for (what, event) in events() {
        let body = renderer(format).render(&event, &delivery()).unwrap();
        writeln!(text, "-- {what}").unwrap();
        for (name, value) in &body.headers {
            writeln!(text, "{name}: {value}").unwrap();
        }
        text.push_str(&line_by_line(&body.bytes, levels));
        text.push('\n');
    }
    text
}
