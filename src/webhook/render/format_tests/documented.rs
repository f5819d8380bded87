//! `docs/formats.md` shows what the formats are.

use serde_json::value::RawValue;

use super::*;
use crate::event::{Fields, Member};

const MARKER: &str =
    "<!-- From here on the test `every_format_is_documented` writes, with ROWHOOK_BLESS=1. -->\n";

pub(super) const FORMATS: [(&str, Format); 10] = [
    ("rowhook", Format::Rowhook),
    ("snaapi", Format::Snaapi),
    ("hasura", Format::Hasura { max_retries: 11 }),
    ("cloudevents", Format::Cloudevents),
    ("cloudevents-binary", Format::CloudeventsBinary),
    ("cloudevents-batch", Format::CloudeventsBatch),
    ("sharetribe", Format::Sharetribe),
    ("sharetribe-api", Format::SharetribeApi),
    ("stelace", Format::Stelace),
    ("thena", Format::Thena),
];

/// What `rowhook.set_context` was called with, as it stands in the log.
const CONTEXT: &str = r#"{"sessionVariables":{"role":"editor","user_id":7},"traceContext":{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}"#;

/// Longer values are spread over several lines.
const WIDTH: usize = 100;

/// JSON with a line for each member and item of what is too long for one line; texts and numbers as
/// they are.
fn laid_out(json: &str, indent: usize) -> String {
    if indent > 0 && json.len() + indent <= WIDTH {
        return json.to_owned();
    }
    let inner = indent + 2;
    let (open, parts, close) = if json.starts_with('{') {
        let fields = Fields::read(json).unwrap();
        let members = fields.iter();
        let part =
            |member: &Member<'_>| format!("{}: {}", member.key, laid_out(member.value, inner));
        ('{', members.map(part).collect::<Vec<_>>(), '}')
    } else if json.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(json).unwrap();
        let items = items.iter().map(|item| laid_out(item.get(), inner));
        ('[', items.collect(), ']')
    } else {
        return json.to_owned();
    };
    let margin = " ".repeat(inner);
    let parts = parts.join(&format!(",\n{margin}"));
    format!("{open}\n{margin}{parts}\n{}{close}", " ".repeat(indent))
}

/// The update's request in each format, without the headers that all have; then a custom event's.
fn examples() -> String {
    let (_, update) = events().swap_remove(1);
    let update = Event {
        context: Some(CONTEXT.into()),
        ..update
    };
    let custom = custom::sent();
    format!(
        "{}\n## The same of a custom event\n{}",
        example(&update),
        example(&custom)
    )
}

fn example(event: &Event) -> String {
    let mut text = String::new();
    for (name, format) in FORMATS {
        let body = renderer(format).render(event, &delivery()).unwrap();
        writeln!(text, "\n`{name}`\n\n```http").unwrap();
        writeln!(text, "content-type: {}", body.content_type).unwrap();
        for (name, value) in &body.headers {
            writeln!(text, "{name}: {value}").unwrap();
        }
        if let Some(trace) = &body.trace {
            writeln!(text, "traceparent: {}", trace.parent()).unwrap();
        }
        let body = std::str::from_utf8(&body.bytes).unwrap();
        writeln!(text, "\n{}\n```", laid_out(body, 0)).unwrap();
    }
    text
}

#[test]
fn every_format_is_documented() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (intro, documented) = text
        .split_once(MARKER)
        .expect("docs/formats.md lost its marker");
    let examples = examples();
    if std::env::var_os("ROWHOOK_BLESS").is_some() {
        std::fs::write(file, format!("{intro}{MARKER}{examples}")).unwrap();
    } else {
        assert!(
            documented == examples,
            "docs/formats.md is not what it should be; run this test with ROWHOOK_BLESS=1"
        );
    }
}
