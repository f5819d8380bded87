//! Every kind of event in both formats, byte for byte.

use uuid::Uuid;

use super::*;
use crate::event::{Action, OldRow, Origin};
use crate::wal::Lsn;

pub(super) fn event(action: Action) -> Event {
    Event {
        sequence_id: 42,
        event_id: Uuid::from_u128(0x11),
        event_type: Arc::from(format!("posts.{}", action.as_str())),
        resource: Arc::from("posts"),
        resource_id: Some("post-123".into()),
        action,
        created_at: 1_767_225_600_000_000,
        record: Some(r#"{"id":"post-123","title":"Hello World","n":1.50}"#.into()),
        previous: None,
        context: None,
        data: None,
        tenant: None,
        related: None,
        old_row: OldRow::Absent,
        unknown: Vec::new(),
        as_text: Vec::new(),
        erased_at: None,
        origin: Origin {
            schema: Arc::from("public"),
            table: Arc::from("posts"),
            xid: 771,
            commit_lsn: Lsn(0x16_B374_D848),
            index: 0,
        },
    }
}

fn updated() -> Event {
    Event {
        created_at: 1_767_225_600_123_456,
        previous: Some(r#"{"title":"Hello","gone":null}"#.into()),
        context: Some(r#"{"userId":"u1"}"#.into()),
        data: None,
        tenant: None,
        related: None,
        old_row: OldRow::Full,
        ..event(Action::Updated)
    }
}

fn truncated() -> Event {
    Event {
        resource_id: None,
        record: None,
        ..event(Action::Truncated)
    }
}

fn rendered(
    event: &Event,
    source: &str,
    subscription: &str,
    delivery: &Delivery,
    format: Format,
) -> Bytes {
    let renderer = Renderer {
        source: Arc::from(source),
        subscription: subscription.to_owned(),
        format,
        payload: Payload::default(),
    };
    renderer.render(event, delivery).unwrap().bytes
}

/// The body, checked to be one JSON document, with a line break before each part to be readable.
fn shown(event: &Event, format: Format) -> String {
    let delivery = Delivery {
        id: Uuid::from_u128(0x22),
        attempt: 1,
        replay: None,
    };
    let body = rendered(event, "shop", "billing", &delivery, format);
    serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    let mut text = String::from_utf8(body.to_vec()).unwrap();
    for part in [
        "event",
        "createdAt",
        "data",
        "changes",
        "previousValues",
        "unknown",
        "asText",
        "source",
        "context",
        "subscription",
        "delivery",
    ] {
        text = text.replace(&format!(",\"{part}\":"), &format!(",\n\"{part}\":"));
    }
    text
}

#[test]
fn a_created_row() {
    let event = event(Action::Created);
    insta::assert_snapshot!(shown(&event, Format::Snaapi), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.created","resource":"posts","resourceId":"post-123",
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"old":null,"new":{"id":"post-123","title":"Hello World","n":1.50},
    "changes":{"added":["id","title","n"],"updated":[],"removed":[]}}},
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
    insta::assert_snapshot!(shown(&event, Format::Rowhook), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.created","resource":"posts","resourceId":"post-123","sequenceId":42,
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"old":null,"new":{"id":"post-123","title":"Hello World","n":1.50},
    "changes":{"added":["id","title","n"],"updated":[],"removed":[]}},
    "source":{"database":"shop","schema":"public","table":"posts","xid":771,"lsn":"16/B374D848"},
    "context":null},
    "subscription":"billing",
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
}

#[test]
fn an_updated_row_with_its_whole_old_row() {
    insta::assert_snapshot!(shown(&updated(), Format::Snaapi), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.updated","resource":"posts","resourceId":"post-123",
    "createdAt":"2026-01-01T00:00:00.123456Z",
    "data":{"old":{"id":"post-123","title":"Hello","n":1.50,"gone":null},"new":{"id":"post-123","title":"Hello World","n":1.50},
    "changes":{"added":[],"updated":["title","gone"],"removed":[]}}},
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
    insta::assert_snapshot!(shown(&updated(), Format::Rowhook), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.updated","resource":"posts","resourceId":"post-123","sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123456Z",
    "data":{"old":{"id":"post-123","title":"Hello","n":1.50,"gone":null},"new":{"id":"post-123","title":"Hello World","n":1.50},
    "changes":{"added":[],"updated":["title","gone"],"removed":[]}},
    "previousValues":{"title":"Hello","gone":null},
    "source":{"database":"shop","schema":"public","table":"posts","xid":771,"lsn":"16/B374D848"},
    "context":{"userId":"u1"}},
    "subscription":"billing",
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
}

#[test]
fn an_updated_row_whose_old_row_is_not_known() {
    let event = Event {
        unknown: vec!["body".to_owned(), "a \"b\"".to_owned()],
        as_text: vec!["shape".to_owned()],
        ..event(Action::Updated)
    };
    insta::assert_snapshot!(shown(&event, Format::Snaapi), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.updated","resource":"posts","resourceId":"post-123",
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"new":{"id":"post-123","title":"Hello World","n":1.50}}},
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
    insta::assert_snapshot!(shown(&event, Format::Rowhook), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.updated","resource":"posts","resourceId":"post-123","sequenceId":42,
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"new":{"id":"post-123","title":"Hello World","n":1.50}},
    "unknown":["body","a \"b\""],
    "asText":["shape"],
    "source":{"database":"shop","schema":"public","table":"posts","xid":771,"lsn":"16/B374D848"},
    "context":null},
    "subscription":"billing",
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
}

#[test]
fn an_updated_row_of_which_only_the_old_key_is_known() {
    let event = Event {
        previous: Some(r#"{"id":"post-122"}"#.into()),
        data: None,
        tenant: None,
        related: None,
        old_row: OldRow::Key,
        ..event(Action::Updated)
    };
    insta::assert_snapshot!(shown(&event, Format::Snaapi), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.updated","resource":"posts","resourceId":"post-123",
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"new":{"id":"post-123","title":"Hello World","n":1.50}}},
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
    insta::assert_snapshot!(shown(&event, Format::Rowhook), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.updated","resource":"posts","resourceId":"post-123","sequenceId":42,
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"new":{"id":"post-123","title":"Hello World","n":1.50}},
    "previousValues":{"id":"post-122"},
    "source":{"database":"shop","schema":"public","table":"posts","xid":771,"lsn":"16/B374D848"},
    "context":null},
    "subscription":"billing",
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
}

#[test]
fn a_deleted_row() {
    let event = Event {
        data: None,
        tenant: None,
        related: None,
        old_row: OldRow::Full,
        ..event(Action::Deleted)
    };
    insta::assert_snapshot!(shown(&event, Format::Snaapi), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.deleted","resource":"posts","resourceId":"post-123",
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"old":{"id":"post-123","title":"Hello World","n":1.50},"new":null,
    "changes":{"added":[],"updated":[],"removed":["id","title","n"]}}},
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
    insta::assert_snapshot!(shown(&event, Format::Rowhook), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.deleted","resource":"posts","resourceId":"post-123","sequenceId":42,
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"old":{"id":"post-123","title":"Hello World","n":1.50},"new":null,
    "changes":{"added":[],"updated":[],"removed":["id","title","n"]}},
    "source":{"database":"shop","schema":"public","table":"posts","xid":771,"lsn":"16/B374D848"},
    "context":null},
    "subscription":"billing",
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
}

#[test]
fn a_truncated_table() {
    insta::assert_snapshot!(shown(&truncated(), Format::Snaapi), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.truncated","resource":"posts","resourceId":null,
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"old":null,"new":null,
    "changes":{"added":[],"updated":[],"removed":[]}}},
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
    insta::assert_snapshot!(shown(&truncated(), Format::Rowhook), @r#"
    {"id":"00000000-0000-0000-0000-000000000011",
    "event":{"type":"posts.truncated","resource":"posts","resourceId":null,"sequenceId":42,
    "createdAt":"2026-01-01T00:00:00Z",
    "data":{"old":null,"new":null,
    "changes":{"added":[],"updated":[],"removed":[]}},
    "source":{"database":"shop","schema":"public","table":"posts","xid":771,"lsn":"16/B374D848"},
    "context":null},
    "subscription":"billing",
    "delivery":{"id":"00000000-0000-0000-0000-000000000022","attempt":1}}
    "#);
}

#[test]
fn a_batch_is_an_array_of_what_each_would_be_alone() {
    let renderer = Renderer {
        payload: Payload::default(),
        source: Arc::from("shop"),
        subscription: "billing".to_owned(),
        format: Format::Rowhook,
    };
    let (created, updated) = (event(Action::Created), updated());
    let delivery = |id, attempt| Delivery {
        id: Uuid::from_u128(id),
        attempt,
        replay: None,
    };
    let batch = [(&created, delivery(0x22, 1)), (&updated, delivery(0x33, 2))];
    let alone: Vec<String> = batch
        .iter()
        .map(|(event, delivery)| renderer.render(event, delivery).unwrap())
        .map(|body| String::from_utf8(body.bytes.to_vec()).unwrap())
        .collect();
    let body = renderer.render_batch(&batch).unwrap();
    assert_eq!(body.bytes, format!("[{},{}]", alone[0], alone[1]));
    assert_eq!(body.content_type, "application/json");
    assert_eq!(renderer.render_batch(&[]).unwrap().bytes, "[]");
}

#[test]
fn an_update_that_changed_nothing_lists_nothing() {
    let event = Event {
        previous: Some("{}".into()),
        ..updated()
    };
    let text = shown(&event, Format::Snaapi);
    assert!(text.contains(r#""old":{"id":"post-123","title":"Hello World","n":1.50}"#));
    assert!(text.contains(r#"{"added":[],"updated":[],"removed":[]}"#));
}

#[test]
fn what_is_missing_is_left_out_and_not_null() {
    let bare = |action| Event {
        record: None,
        ..event(action)
    };
    assert!(!shown(&bare(Action::Created), Format::Rowhook).contains("\"new\""));
    assert!(!shown(&bare(Action::Deleted), Format::Rowhook).contains("\"old\""));
    let update = shown(&bare(Action::Updated), Format::Rowhook);
    assert!(update.contains(r#""data":{}"#), "{update}");
}

#[test]
fn names_are_escaped() {
    let odd = "a\"\\\n\u{1}ü";
    let event = Event {
        event_type: Arc::from(odd),
        resource_id: Some(odd.into()),
        ..event(Action::Created)
    };
    let body = rendered(
        &event,
        odd,
        odd,
        &Delivery {
            id: Uuid::nil(),
            attempt: u32::MAX,
            replay: None,
        },
        Format::Rowhook,
    );
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["event"]["type"], odd);
    assert_eq!(body["event"]["resourceId"], odd);
    assert_eq!(body["event"]["source"]["database"], odd);
    assert_eq!(body["subscription"], odd);
}

#[test]
fn a_time_has_four_digits_for_its_year() {
    for (microseconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_500_000, "1970-01-01T00:00:01.5Z"),
        (i64::MAX, "9999-12-30T22:00:00.999999999Z"),
        (i64::MIN, "0000-01-01T00:00:00Z"),
    ] {
        assert_eq!(time(microseconds).to_string(), text);
    }
}

#[test]
fn a_replay_is_marked_in_our_own_format_alone() {
    let delivery = Delivery {
        id: Uuid::nil(),
        attempt: 2,
        replay: Some(7),
    };
    let event = event(Action::Created);
    for (format, expected) in [(Format::Rowhook, Some(7)), (Format::Snaapi, None)] {
        let body = rendered(&event, "shop", "billing", &delivery, format);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let replay = body["delivery"].get("replay");
        assert_eq!(replay.and_then(serde_json::Value::as_i64), expected);
    }
}
