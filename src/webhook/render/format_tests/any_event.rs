//! Whatever an event holds, every format makes one JSON document of it, and none makes an old value
//! up.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::documented::FORMATS;
use super::*;

/// Values as a log may hold them: `null` inside and out, large numbers, escapes that are no character.
const VALUES: [&str; 12] = [
    "null",
    "{}",
    "[]",
    r#"{"a": 1, "b": {"c": null}}"#,
    r#"{"a": 2,"b":{"c":null},"a":3}"#,
    r#"[{"a":1}]"#,
    r#""\ud800""#,
    r#""\u0000 \"{[""#,
    "123456789012345678901234567890.10",
    "1e400",
    "true",
    r#""{}""#,
];

const KEYS: [&str; 5] = [
    r#""id""#,
    r#""a""#,
    r#""k\"e{y""#,
    r#""\ud800""#,
    r#""ä b""#,
];

/// What formats look for in a context.
const SAID: [&str; 7] = [
    "userId",
    "sub",
    "source",
    "x-hasura-role",
    "trace_id",
    "traceparent",
    "ä_B c",
];

fn row() -> impl Strategy<Value = String> {
    let member = (select(&KEYS[..]), select(&VALUES[..]));
    proptest::collection::vec(member, 0..5).prop_map(|members| {
        let members = members.iter().map(|(key, value)| format!("{key}:{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    })
}

/// What a transaction may have said: anything under the names that formats look for.
fn context() -> impl Strategy<Value = String> {
    let member = (select(&SAID[..]), select(&VALUES[..]));
    let part = proptest::collection::vec(member, 0..5).prop_map(|members| {
        let members = members
            .iter()
            .map(|(key, value)| format!("\"{key}\":{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    });
    [part.clone(), part].prop_map(|[session, trace]| {
        format!(r#"{{"sessionVariables":{session},"traceContext":{trace}}}"#)
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    use Action::{Created, Custom, Deleted, Noted, Snapshot, Truncated, Updated};
    let actions = [
        Created, Updated, Deleted, Snapshot, Truncated, Custom, Noted,
    ];
    let old_rows = [OldRow::Absent, OldRow::Key, OldRow::Partial, OldRow::Full];
    let rows = (
        proptest::option::of(row()),
        proptest::option::of(row()),
        proptest::option::of(row()),
        proptest::option::of(context()),
    );
    let id = proptest::option::of(any::<String>());
    let numbers = (any::<i64>(), any::<i64>());
    let name = any::<String>().prop_map(|name| format!("t{name}"));
    (
        select(actions.to_vec()),
        select(old_rows.to_vec()),
        rows,
        id,
        numbers,
        name,
    )
        .prop_map(
            |(
                action,
                old_row,
                (record, previous, data, context),
                id,
                (sequence_id, created_at),
                name,
            )| Event {
                sequence_id,
                event_type: Arc::from(format!("{name}.{}", action.as_str())),
                resource: Arc::from(name),
                resource_id: id.map(Into::into),
                created_at,
                record: record.map(Into::into),
                previous: previous.map(Into::into),
                context: context.map(Into::into),
                data: data.filter(|_| action == Custom).map(Into::into),
                old_row,
                ..event(action)
            },
        )
}

proptest! {
    #[test]
    fn any_event_is_one_document_in_every_format(event in any_event()) {
        for (name, format) in FORMATS {
            let body = renderer(format).render(&event, &delivery()).unwrap();
            let read = serde_json::from_slice::<serde::de::IgnoredAny>(&body.bytes);
            let text = String::from_utf8_lossy(&body.bytes);
            prop_assert!(read.is_ok(), "{}: {}", name, text);
            for (header, value) in &body.headers {
                prop_assert!(!value.is_empty(), "{}", header);
                prop_assert!(!value.contains(char::is_control), "{}: {:?}", header, value);
            }
        }
    }

    #[test]
    fn an_old_row_that_is_not_known_is_nowhere(event in any_event()) {
        let old_row = match event.old_row {
            OldRow::Full => OldRow::Partial,
            other => other,
        };
        for format in [
            Format::Hasura { max_retries: 0 },
            Format::Cloudevents,
            Format::Sharetribe,
            Format::SharetribeApi,
            Format::Stelace,
            Format::Thena,
        ] {
            // Record, context and data themselves may hold what no DOM reads.
            let (record, context, data) = (Some("{}".into()), None, None);
            let event = Event { action: Action::Updated, old_row, record, context, data, ..event.clone() };
            let body = renderer(format).render(&event, &delivery()).unwrap();
            let body: Value = serde_json::from_slice(&body.bytes).unwrap();
            for place in [
                "/event/data/old",
                "/data/old",
                "/data/changes",
                "/previousValues",
                "/attributes/previousValues",
                "/changesRequested",
                "/eventData/changedFields",
            ] {
                prop_assert_eq!(body.pointer(place), None, "{:?} {}", format, place);
            }
        }
    }
}
