//! Events that the application emits itself: what they may be called, and what they may hold. Pure.

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Action, Capture, Draft, Fields, Redaction, ResourceRule, long_id, resource_name};

/// Prefix of the logical messages that bring them; see `sql/source_functions.sql`.
pub const EMIT_PREFIX: &str = "rowhook.emit";

/// Bytes of a type. It goes out as a header.
const LONGEST_TYPE: usize = 200;
/// Bytes of a resource's name.
const LONGEST_RESOURCE: usize = 255;
/// Bytes of a resource id. A longer key than the log's index takes is cut as a row's is.
const LONGEST_ID: usize = 8 * 1024;
/// Bytes of the data: it goes out with every delivery.
const LONGEST_DATA: usize = 1 << 20;
/// Objects and arrays in each other: a reader that recurses has a bound of its own, Postgres too.
const DEEPEST_DATA: usize = 100;

/// What row events and rowhook's own end in.
const TAKEN: [&str; 7] = [
    "created",
    "updated",
    "deleted",
    "restored",
    "snapshot",
    "truncated",
    "noted",
];

/// Why an event cannot be emitted: which part of it, and what is wrong with that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {says}")]
pub struct Unfit {
    /// `type`, `data`, `resource`, `resource_id`, `context`.
    pub part: &'static str,
    /// What is wrong, and what would be right.
    pub says: String,
}

impl Unfit {
    /// A part that does not fit.
    #[must_use]
    pub fn new(part: &'static str, says: impl Into<String>) -> Self {
        let says = says.into();
        Self { part, says }
    }
}

/// An event of the application's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// `invoice.sent`.
    pub event_type: String,
    /// What it is about; the first word of the type, where nothing is said.
    pub resource: String,
    /// The object that it is about, as it stands in the log.
    pub resource_id: Option<String>,
    /// JSON value: what it says.
    pub data: Option<ByteString>,
}

/// A logical message, as `rowhook.emit` writes it.
#[derive(Deserialize)]
struct Message<'a> {
    r#type: String,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    resource: Option<String>,
    #[serde(default)]
    resource_id: Option<String>,
}

impl Emitted {
    /// Reads a logical message. Anybody can write one: nothing of it is taken on trust.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(message: &[u8]) -> Result<Self, Unfit> {
        let read = serde_json::from_slice::<Message<'_>>(message)
            .map_err(|error| Unfit::new("message", error.to_string()))?;
        Self::new(
            read.r#type,
            read.data.map(RawValue::get),
            read.resource,
            read.resource_id,
        )
    }

    /// An event of these parts; `data` is any JSON text.
    ///
    /// # Errors
    /// Which part is wrong, and why.
    pub fn new(
        event_type: String,
        data: Option<&str>,
        resource: Option<String>,
        resource_id: Option<String>,
    ) -> Result<Self, Unfit> {
        check_type(&event_type)?;
        if resource_id.is_some() && resource.is_none() {
            let says = "it says which object, and `resource` is missing, which says of what kind";
            return Err(Unfit::new("resource_id", says));
        }
        let resource = match resource {
            Some(resource) => check_resource(resource)?,
            None => first_word(&event_type).to_owned(),
        };
        Ok(Self {
            event_type,
            resource,
            resource_id: resource_id.map(check_id).transpose()?,
            data: data.map(check_data).transpose()?.flatten(),
        })
    }

    /// What is logged of it; `record` is the object that it is about, where that is known.
    #[must_use]
    pub fn draft<'a>(&'a self, record: Option<&'a str>) -> Draft<'a> {
        Draft {
            action: Action::Custom,
            resource_id: self.resource_id.as_deref().map(str::as_bytes),
            record: record.map(str::as_bytes),
            data: self.data.as_deref().map(str::as_bytes),
            ..Draft::truncated()
        }
    }
}

fn first_word(event_type: &str) -> &str {
    event_type.split('.').next().unwrap_or(event_type)
}

fn check_type(event_type: &str) -> Result<(), Unfit> {
    let unfit = |says: String| Err(Unfit::new("type", says));
    let is_word = |word: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        !word.is_empty() && word.bytes().all(fits)
    };
    let words: Vec<&str> = event_type.split('.').collect();
    let begins = event_type.starts_with(|first: char| first.is_ascii_alphabetic());
    if event_type.len() > LONGEST_TYPE {
        return unfit(format!("it is longer than {LONGEST_TYPE} bytes"));
    }
    if !begins || words.len() < 2 || !words.iter().all(|word| is_word(word)) {
        return unfit(format!(
            "{event_type:?} is no type of an event: write words of letters, digits, _ and - with dots \
             between them, such as invoice.sent"
        ));
    }
    let last = words.last().copied().unwrap_or_default();
    let of_field = last == "changed" && words.len() > 2;
    if TAKEN.contains(&last) || of_field || words.first() == Some(&"rowhook") {
        return unfit(format!(
            "{event_type} is taken: rowhook emits …{}.{last} itself; choose another verb",
            if of_field { ".field" } else { "" }
        ));
    }
    Ok(())
}

fn check_resource(resource: String) -> Result<String, Unfit> {
    let says = if resource.is_empty() || resource.contains(char::is_control) {
        "it is empty or holds control characters".to_owned()
    } else if resource.len() > LONGEST_RESOURCE {
        format!("it is longer than {LONGEST_RESOURCE} bytes")
    } else if resource == "rowhook" {
        "rowhook is taken: it is what rowhook's own events are about".to_owned()
    } else {
        return Ok(resource);
    };
    Err(Unfit::new("resource", says))
}

fn check_id(id: String) -> Result<String, Unfit> {
    let says = if id.is_empty() || id.contains('\0') {
        "it is empty or holds a NUL".to_owned()
    } else if id.len() > LONGEST_ID {
        format!("it is longer than {LONGEST_ID} bytes")
    } else {
        let mut id = id.into_bytes();
        long_id::shorten(&mut id);
        // It is cut between characters.
        return Ok(String::from_utf8_lossy(&id).into_owned());
    };
    Err(Unfit::new("resource_id", says))
}

/// The JSON without space between its parts; `None` for null, which says nothing.
fn check_data(data: &str) -> Result<Option<ByteString>, Unfit> {
    if data.len() > LONGEST_DATA {
        let says = format!("it is longer than {LONGEST_DATA} bytes");
        return Err(Unfit::new("data", says));
    }
    serde_json::from_str::<&RawValue>(data)
        .map_err(|error| Unfit::new("data", format!("it is not JSON: {error}")))?;
    let (compact, depth) = compacted(data);
    check_depth("data", depth)?;
    Ok((compact != "null").then(|| compact.into()))
}

/// Refuses what is nested too deep to be stored; `json` is JSON text, given as this part.
///
/// # Errors
/// If it is.
pub(crate) fn shallow(part: &'static str, json: &str) -> Result<(), Unfit> {
    check_depth(part, compacted(json).1)
}

fn check_depth(part: &'static str, depth: usize) -> Result<(), Unfit> {
    if depth <= DEEPEST_DATA {
        return Ok(());
    }
    let says = format!("it has more than {DEEPEST_DATA} objects and arrays in each other");
    Err(Unfit::new(part, says))
}

/// JSON text without the space that means nothing, and how deep it goes.
fn compacted(json: &str) -> (String, usize) {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    let kept = |char: &char| {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        quoted || !char.is_ascii_whitespace()
    };
    let text = json.chars().filter(kept).collect();
    (text, deepest)
}

impl Capture {
    /// The record of an object as the settings of now let it be seen: the log may hold it from a time
    /// when they left out less. What is redacted now and was not is left out, too.
    #[must_use]
    pub fn as_seen_now(&self, resource: &str, record: ByteString) -> ByteString {
        let is_about = |rule: &&ResourceRule| {
            let table = &rule.table;
            resource_name(&table.schema, &table.name, Some(rule)) == resource
        };
        let Some(rule) = self.resources.iter().find(is_about) else {
            return record;
        };
        let Some(fields) = Fields::read(&record) else {
            return record;
        };
        let may_be_seen = |name: &str, value: &str| {
            let redacted = rule.redact.iter().find(|(column, _)| column == name);
            !rule.exclude.iter().any(|column| column == name)
                && redacted.is_none_or(|(_, how)| is_redacted(*how, value))
        };
        let kept = fields
            .iter()
            .filter(|member| may_be_seen(&member.name(), member.value))
            .map(|member| format!("{}:{}", member.key, member.value));
        format!("{{{}}}", kept.collect::<Vec<_>>().join(",")).into()
    }
}

/// Whether a value is what a redaction leaves of one.
fn is_redacted(how: Redaction, value: &str) -> bool {
    value == "null"
        || match how {
            Redaction::Hash => value.starts_with("\"sha256:"),
            Redaction::Mask => value == "\"***\"",
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TableName;

    fn unfit(message: &str) -> &'static str {
        Emitted::read(message.as_bytes()).unwrap_err().part
    }

    #[test]
    fn a_message_says_what_happened_to_what() {
        let message = r#"{"type": "invoice.sent", "data": {"to": [ "a b\" c" ], "n": 1.50},
                          "resource": "sales.invoices", "resource_id": "42", "later": true}"#;
        let emitted = Emitted::read(message.as_bytes()).unwrap();
        assert_eq!(emitted.event_type, "invoice.sent");
        assert_eq!(emitted.resource, "sales.invoices");
        assert_eq!(emitted.resource_id.as_deref(), Some("42"));
        let data = emitted.data.as_deref();
        assert_eq!(data, Some(r#"{"to":["a b\" c"],"n":1.50}"#));
        let alone = Emitted::read(br#"{"type": "user.logged-in.twice", "data": null}"#).unwrap();
        assert_eq!((alone.resource.as_str(), alone.data), ("user", None));
    }

    #[test]
    fn names_of_row_events_are_taken() {
        for taken in [
            "posts.created",
            "sales.orders.updated",
            "x.deleted",
            "x.restored",
            "x.snapshot",
            "x.truncated",
            "x.noted",
            "rowhook.gap",
            "rowhook.anything.else",
            "deal.stage.changed",
            "sales.deal.stage.changed",
        ] {
            let error = Emitted::new(taken.into(), None, None, None).unwrap_err();
            assert!(error.to_string().contains("is taken"), "{error}");
        }
        for free in ["order.changed", "created.late", "rowhooks.x", "x.Created"] {
            assert!(
                Emitted::new(free.into(), None, None, None).is_ok(),
                "{free}"
            );
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        let long = format!("a.{}", "b".repeat(LONGEST_TYPE));
        for wrong in [
            "", "sent", ".sent", "invoice.", "a..b", "1.b", "a b.c", "a.b\n", "ä.b", "a.*",
            "a/b.c", &long,
        ] {
            let error = Emitted::new(wrong.into(), None, None, None).unwrap_err();
            assert_eq!(error.part, "type", "{wrong}");
        }
    }

    #[test]
    fn every_part_is_looked_at() {
        let with = |more: &str| unfit(&format!(r#"{{"type": "a.b", {more}}}"#));
        assert_eq!(with(r#""resource_id": "1""#), "resource_id");
        assert_eq!(with(r#""resource": "x", "resource_id": """#), "resource_id");
        assert_eq!(
            with(r#""resource": "x", "resource_id": "\u0000""#),
            "resource_id"
        );
        assert_eq!(with(r#""resource": """#), "resource");
        assert_eq!(with(r#""resource": "a\u0000""#), "resource");
        assert_eq!(with(r#""resource": "rowhook""#), "resource");
        let id = "x".repeat(LONGEST_ID + 1);
        assert_eq!(
            with(&format!(r#""resource": "x", "resource_id": "{id}""#)),
            "resource_id"
        );
        let (deep, end) = ("[".repeat(DEEPEST_DATA + 1), "]".repeat(DEEPEST_DATA + 1));
        assert_eq!(with(&format!(r#""data": {deep}{end}"#)), "data");
        let long = "x".repeat(LONGEST_DATA);
        assert_eq!(with(&format!(r#""data": "{long}""#)), "data");
        for message in [
            "",
            "[]",
            "{}",
            "{\"type\": 1}",
            "{\"type\": \"a.b\", \"data\": }",
            "\u{0}",
        ] {
            assert_eq!(unfit(message), "message", "{message}");
        }
        assert!(Emitted::read(b"{\"type\": \"a.\xff\"}").is_err());
        let said = Emitted::new("a.b".into(), Some("{\"a\""), None, None).unwrap_err();
        assert!(
            said.to_string().starts_with("data: it is not JSON"),
            "{said}"
        );
    }

    #[test]
    fn an_object_shows_no_more_than_the_settings_of_now_let_see() {
        let capture = Capture {
            tables: Vec::new(),
            resources: vec![ResourceRule {
                name: Some("people".into()),
                exclude: vec!["ssn".into()],
                redact: vec![
                    ("email".into(), Redaction::Hash),
                    ("pin".into(), Redaction::Mask),
                ],
                ..ResourceRule::of(TableName {
                    schema: "public".into(),
                    name: "users".into(),
                })
            }],
        };
        let seen = |resource: &str, record: &'static str| {
            capture.as_seen_now(resource, record.into()).to_string()
        };
        let before = r#"{"id":7,"ssn":"1","email":"a@b","pin":"1"}"#;
        assert_eq!(seen("people", before), r#"{"id":7}"#);
        let since = r#"{"id":7,"email":"sha256:00","pin":"***"}"#;
        assert_eq!(seen("people", since), since);
        assert_eq!(seen("users", before), before);
    }
}
