//! `session_variables` and `trace_context` as Hasura has them: variables are called `x-hasura-…`, and
//! are texts.

use std::collections::HashSet;

use super::said::Said;
use crate::event::{Fields, Member};
use crate::webhook::json::Json;
use crate::webhook::trace::Trace;

const PREFIX: &str = "x-hasura-";

/// The trace's ids as Hasura calls them, and what else they are called.
const IDS: [(&str, &[&str]); 2] = [
    ("trace_id", &["trace_id", "traceId"]),
    ("span_id", &["span_id", "spanId"]),
];

/// Writes both members, null where nothing is known.
pub(super) fn write(json: &mut Json, said: &Said<'_>) {
    json.key("session_variables");
    match &said.session {
        Some(session) => session_variables(json, session),
        None => json.raw("null"),
    }
    json.key("trace_context");
    match &said.trace {
        Some(trace) => trace_context(json, trace, said),
        None => json.raw("null"),
    }
}

fn session_variables(json: &mut Json, session: &Fields<'_>) {
    let mut written = HashSet::new();
    json.open();
    for member in session.iter() {
        let name = member.name();
        let variable = variable(&name);
        // One that has Hasura's own name counts, wherever it stands.
        let named = variable == name || session.named(&variable).is_none();
        if named && written.insert(variable.clone()) {
            json.name(&variable);
            text(json, member);
        }
    }
    json.close();
}

/// A text as it is, anything else as its JSON.
fn text(json: &mut Json, member: &Member<'_>) {
    if member.value.starts_with('"') {
        json.raw(member.value);
    } else {
        json.string(member.value);
    }
}

/// `x-hasura-user-id` of `x-hasura-user-id`, `user_id` and `userId`, and of a token's `sub`.
fn variable(name: &str) -> String {
    let lower = name.to_lowercase();
    if lower.starts_with(PREFIX) {
        return lower;
    }
    if name == "sub" {
        return format!("{PREFIX}user-id");
    }
    let mut variable = PREFIX.to_owned();
    let mut after_small = false;
    for char in name.chars() {
        if after_small && char.is_uppercase() {
            variable.push('-');
        }
        after_small = char.is_lowercase() || char.is_numeric();
        if char.is_alphanumeric() {
            variable.extend(char.to_lowercase());
        } else {
            variable.push('-');
        }
    }
    variable
}

/// The ids under Hasura's names, from `traceparent` where they are nowhere else; then the rest.
fn trace_context(json: &mut Json, trace: &Fields<'_>, said: &Said<'_>) {
    let parent = Trace::read(trace);
    let [trace_id, span_id] = IDS.map(|(_, names)| said.traced(names));
    json.open();
    if trace_id.is_none() && span_id.is_none() {
        if let Some(parent) = &parent {
            json.key("trace_id");
            json.quoted(parent.trace_id());
            json.key("span_id");
            json.quoted(parent.parent_id());
        }
    } else {
        for ((key, _), id) in IDS.iter().zip([trace_id, span_id]) {
            if let Some(id) = id {
                json.key(key);
                json.string(&id);
            }
        }
    }
    let is_id = |member: &&Member<'_>| {
        let name = member.name();
        IDS.iter().any(|(_, names)| names.contains(&&*name))
    };
    for member in trace.iter().filter(|member| !is_id(member)) {
        json.member(member.key, member.value);
    }
    json.close();
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;
    use crate::event::{Action, Event};

    fn written(context: &'static str) -> String {
        let event = Event {
            context: Some(context.into()),
            ..event(Action::Created)
        };
        let mut json = Json::with_capacity(0);
        json.open();
        write(&mut json, &Said::of(&event));
        json.close();
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn variables_have_hasura_s_names_and_are_texts() {
        let context = r#"{"sessionVariables":{"user_id":7,"X-Hasura-Role":"editor","userId":8,"userAgent":"a\ud800","ok":true,"tags":["a"]}}"#;
        insta::assert_snapshot!(written(context), @r#"{"session_variables":{"x-hasura-user-id":"7","x-hasura-role":"editor","x-hasura-user-agent":"a\ud800","x-hasura-ok":"true","x-hasura-tags":"[\"a\"]"},"trace_context":null}"#);
        let context = r#"{"sessionVariables":{"sub":"s","x-hasura-user-id":"h","role":"r"}}"#;
        insta::assert_snapshot!(written(context), @r#"{"session_variables":{"x-hasura-user-id":"h","x-hasura-role":"r"},"trace_context":null}"#);
        assert_eq!(variable("sub"), "x-hasura-user-id");
    }

    #[test]
    fn the_trace_has_hasura_s_ids_whatever_they_were_called() {
        let context =
            r#"{"traceContext":{"requestId":"r","traceId":"t","spanId":"s","tracestate":"a=b"}}"#;
        insta::assert_snapshot!(written(context), @r#"{"session_variables":null,"trace_context":{"trace_id":"t","span_id":"s","requestId":"r","tracestate":"a=b"}}"#);
        let context = r#"{"traceContext":{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}"#;
        insta::assert_snapshot!(written(context), @r#"{"session_variables":null,"trace_context":{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}"#);
        let context = r#"{"traceContext":{"traceparent":"nonsense","traceId":7}}"#;
        insta::assert_snapshot!(written(context), @r#"{"session_variables":null,"trace_context":{"trace_id":"7","traceparent":"nonsense"}}"#);
    }
}
