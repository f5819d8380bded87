//! What the application said of the transaction that changes rows: who did it, in which trace.
//!
//! Stored as `{"sessionVariables":{…},"traceContext":{…}}`, each part only if it has members. Pure.

use bytestring::ByteString;

use super::Fields;

/// Prefix of the logical messages that bring it; see `sql/source_functions.sql`.
pub const CONTEXT_PREFIX: &str = "rowhook.context";

/// More than this is no context; it would stand in every event of the transaction.
const LONGEST: usize = 64 * 1024;

const SESSION: &str = "sessionVariables";
const TRACE: &str = "traceContext";

/// Keys that belong to the trace (W3C Trace Context, and what OpenTelemetry's languages call it).
const TRACE_KEYS: [&str; 6] = [
    "traceparent",
    "tracestate",
    "traceId",
    "spanId",
    "trace_id",
    "span_id",
];

/// Merges what a message says into what is known of the transaction, key by key. A key with null is
/// taken away.
///
/// # Errors
/// Why the message says nothing. What is known stays as it is.
pub fn merged(known: Option<&str>, message: &[u8]) -> Result<Option<ByteString>, &'static str> {
    if message.len() > LONGEST {
        return Err("it is longer than 64 KiB");
    }
    let text = std::str::from_utf8(message).map_err(|_| "it is not UTF-8")?;
    let said = Fields::read(text).ok_or("it is not a JSON object")?;
    super::shallow("context", text)
        .map_err(|_| "it has more than 100 objects and arrays in each other")?;
    let known = known.and_then(Fields::read).unwrap_or_default();
    let [mut session, mut trace] = [SESSION, TRACE].map(|part| {
        known
            .get(part)
            .map_or("{}", |member| member.value)
            .to_owned()
    });
    for member in said.iter() {
        let key = member.key.trim_matches('"');
        if key == SESSION || key == TRACE {
            // Given in its stored form.
            let part = if key == TRACE {
                &mut trace
            } else {
                &mut session
            };
            let inner = Fields::read(member.value).ok_or("a part of it is not a JSON object")?;
            for member in inner.iter() {
                put(part, member.key, member.value);
            }
        } else if TRACE_KEYS.contains(&key) {
            put(&mut trace, member.key, member.value);
        } else {
            put(&mut session, member.key, member.value);
        }
    }
    let parts: Vec<String> = [(SESSION, session), (TRACE, trace)]
        .into_iter()
        .filter(|(_, members)| members != "{}")
        .map(|(part, members)| format!("\"{part}\":{members}"))
        .collect();
    let text = format!("{{{}}}", parts.join(","));
    if text.len() > LONGEST {
        return Err("together with what was said before it is longer than 64 KiB");
    }
    Ok((!parts.is_empty()).then(|| text.into()))
}

/// What was said, by its keys: the members of both parts of a stored context.
pub(super) fn flat(context: &str) -> Fields<'_> {
    let stored = Fields::read(context).unwrap_or_default();
    let part = |name| {
        let part = stored.named(name).and_then(|part| Fields::read(part.value));
        part.unwrap_or_default()
    };
    part(TRACE).overlaid_by(&part(SESSION))
}

/// Sets or takes away one member of an object's text.
fn put(object: &mut String, key: &str, value: &str) {
    let mut members = Vec::new();
    let mut placed = false;
    let fields = Fields::read(object).unwrap_or_default();
    let same = fields.get(key).map(|member| member.key);
    for member in fields.iter() {
        let is_it = Some(member.key) == same;
        placed |= is_it;
        let value = if is_it { value } else { member.value };
        if !(is_it && value == "null") {
            members.push(format!("{}:{value}", member.key));
        }
    }
    if !placed && value != "null" {
        members.push(format!("{key}:{value}"));
    }
    *object = format!("{{{}}}", members.join(","));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(messages: &[&str]) -> Option<String> {
        let mut known: Option<ByteString> = None;
        for message in messages {
            known = merged(known.as_deref(), message.as_bytes()).unwrap();
        }
        known.map(|text| text.to_string())
    }

    #[test]
    fn keys_are_merged_one_by_one_and_the_trace_stands_apart() {
        assert_eq!(
            after(&[
                r#"{"user_id": 7, "role": "editor", "traceparent": "00-a-b-01"}"#,
                r#"{"role": "admin", "ip": null, "nested": {"a": [1]}}"#,
            ])
            .as_deref(),
            Some(
                r#"{"sessionVariables":{"user_id":7,"role":"admin","nested":{"a": [1]}},"traceContext":{"traceparent":"00-a-b-01"}}"#
            )
        );
    }

    #[test]
    fn null_takes_a_key_away_and_the_last_one_the_part() {
        let set = r#"{"user_id": 7, "traceId": "x"}"#;
        assert_eq!(
            after(&[set, r#"{"traceId": null}"#]).as_deref(),
            Some(r#"{"sessionVariables":{"user_id":7}}"#)
        );
        let none = r#"{"traceId": null, "user_id": null}"#;
        assert_eq!(after(&[set, none]), None);
    }

    #[test]
    fn the_stored_form_may_be_said_too() {
        assert_eq!(
            after(&[r#"{"sessionVariables": {"userId": "u1"}, "traceContext": {"spanId": "s"}}"#])
                .as_deref(),
            Some(r#"{"sessionVariables":{"userId":"u1"},"traceContext":{"spanId":"s"}}"#)
        );
    }

    #[test]
    fn a_stored_context_is_read_by_its_keys() {
        let stored = r#"{"sessionVariables":{"a":1,"b":2},"traceContext":{"b":3,"c":4}}"#;
        let fields = flat(stored);
        let of = |name| fields.named(name).map(|member| member.value);
        assert_eq!(
            (of("a"), of("b"), of("c")),
            (Some("1"), Some("2"), Some("4"))
        );
        assert_eq!(flat("{}").iter().count(), 0);
    }

    #[test]
    fn what_is_no_object_says_nothing() {
        for message in [
            &b"[1]"[..],
            b"\"x\"",
            b"",
            b"\xff",
            b"{\"sessionVariables\": 1}",
        ] {
            assert!(merged(Some("{}"), message).is_err(), "{message:?}");
        }
        // The log's parser would refuse it, and with it the rows of its transaction.
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        assert!(merged(None, deep.as_bytes()).is_err());
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(LONGEST));
        assert!(merged(None, long.as_bytes()).is_err());
    }
}
