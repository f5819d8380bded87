//! What every event has around its row, as JSON Schema.

use serde_json::{Value, json};

use super::events::erased_at;
use super::values::{Schemas, nullable};

impl Schemas<'_> {
    /// The definitions that do not depend on a resource. `types` are the events of rows.
    pub(super) fn surroundings(&self, types: &[&str]) -> Vec<(String, Value)> {
        [
            ("request", self.request(&self.refer("event"))),
            ("batch", self.batch()),
            ("delivery", delivery()),
            ("changes", changes()),
            ("source", source()),
            ("context", context()),
            ("exceptional", self.exceptional(types)),
            ("custom", self.custom(types)),
            ("loggedExceptional", logged_exceptional()),
            ("loggedNote", logged_note()),
            ("loggedCustom", logged_custom(types)),
        ]
        .map(|(name, schema)| (name.to_owned(), schema))
        .into()
    }

    /// The body of a request with an event.
    pub(super) fn request(&self, event: &Value) -> Value {
        json!({
            "type": "object",
            "description": "The body of a webhook request in format `rowhook`.",
            "required": ["id", "event", "subscription", "delivery"],
            "properties": {
                "id": {
                    "type": "string",
                    "format": "uuid",
                    "description": "The event's id: the same on every attempt.",
                },
                "event": event,
                "subscription": { "type": "string", "description": "The webhook's name." },
                "delivery": self.refer("delivery"),
            },
        })
    }

    fn batch(&self) -> Value {
        json!({
            "type": "array",
            "description": "The body of a request of a webhook with `batch`.",
            "items": self.refer("request"),
            "minItems": 1,
        })
    }

    /// What no value stops: an event that lacks columns, or has some as text.
    fn exceptional(&self, types: &[&str]) -> Value {
        let kind = if types.is_empty() {
            json!({ "type": "string" })
        } else {
            json!({ "type": "string", "enum": types })
        };
        let lists = |what: &str| {
            json!({
                "type": "array",
                "items": { "type": "string" },
                "minItems": 1,
                "description": what,
            })
        };
        json!({
            "type": "object",
            "description": "An event of a row of which a value is not known (its column is missing, and listed in \
                            `unknown`), or could not be read as its type (it is a string, and its column is listed \
                            in `asText`).",
            "required": ["type", "resource", "resourceId", "sequenceId", "createdAt", "data", "source", "context"],
            "properties": {
                "type": kind,
                "resource": { "type": "string" },
                "resourceId": { "type": ["string", "null"] },
                "sequenceId": sequence_id(),
                "createdAt": created_at(),
                "data": { "type": "object" },
                "previousValues": { "type": "object" },
                "unknown": lists("Columns whose value is not known."),
                "asText": lists("Columns of which a value stands as text."),
                "erasedAt": erased_at(),
                "source": self.refer("source"),
                "context": self.refer("context"),
            },
            "anyOf": [{ "required": ["unknown"] }, { "required": ["asText"] }],
        })
    }

    /// What applications have to say: nobody knows what they call it, and `data.data` is theirs.
    fn custom(&self, types: &[&str]) -> Value {
        json!({
            "type": "object",
            "description": "An event of the application's own, such as `invoice.sent`: what it says is in \
                            `data.data`, and the object that it is about in `data.new`.",
            "required": ["type", "resource", "resourceId", "sequenceId", "createdAt", "data", "source", "context"],
            "properties": {
                "type": custom_type(types),
                "resource": { "type": "string" },
                "resourceId": { "type": ["string", "null"] },
                "sequenceId": sequence_id(),
                "createdAt": created_at(),
                "data": {
                    "type": "object",
                    "required": ["old", "new", "changes"],
                    "properties": {
                        "old": { "type": "null" },
                        "new": { "type": ["object", "null"] },
                        "changes": self.refer("changes"),
                        "data": {},
                    },
                },
                "source": self.refer("source"),
                "context": self.refer("context"),
            },
        })
    }

    /// What rowhook itself has to say.
    pub(super) fn note(&self) -> Value {
        json!({
            "type": "object",
            "description": "Something that rowhook itself has to say, such as `rowhook.gap`: what it says is \
                            in `data.new`.",
            "required": ["type", "resource", "resourceId", "sequenceId", "createdAt", "data", "source", "context"],
            "properties": {
                "type": { "type": "string", "pattern": "^rowhook\\." },
                "resource": { "type": "string", "const": "rowhook" },
                "resourceId": { "type": "null" },
                "sequenceId": sequence_id(),
                "createdAt": created_at(),
                "data": {
                    "type": "object",
                    "required": ["old", "new", "changes"],
                    "properties": {
                        "old": { "type": "null" },
                        "new": { "type": "object" },
                        "changes": self.refer("changes"),
                    },
                },
                "source": self.refer("source"),
                "context": self.refer("context"),
            },
        })
    }
}

/// Any type but those of rows, and of rowhook itself.
fn custom_type(types: &[&str]) -> Value {
    let mut others = vec![json!({
        "pattern": "^rowhook\\.|\\.(created|updated|deleted|restored|snapshot|truncated|noted)$",
    })];
    if !types.is_empty() {
        others.push(json!({ "enum": types }));
    }
    json!({ "type": "string", "not": { "anyOf": others } })
}

fn logged_custom(types: &[&str]) -> Value {
    json!({
        "type": "object",
        "description": "An event of the application's own, in `rowhook events list --json`.",
        "required": ["sequenceId", "type", "resource", "action", "record"],
        "properties": {
            "sequenceId": sequence_id(),
            "type": custom_type(types),
            "resource": { "type": "string" },
            "action": { "type": "string", "const": "custom" },
            "record": { "type": ["object", "null"] },
            "data": {},
        },
    })
}

pub(super) fn sequence_id() -> Value {
    json!({
        "type": "integer",
        "minimum": 1,
        "description": "The event's place in the log: dense, in commit order.",
    })
}

pub(super) fn created_at() -> Value {
    json!({
        "type": "string",
        "format": "date-time",
        "description": "When the transaction was committed.",
    })
}

fn delivery() -> Value {
    json!({
        "type": "object",
        "required": ["id", "attempt"],
        "properties": {
            "id": { "type": "string", "format": "uuid", "description": "The same on every attempt." },
            "attempt": { "type": "integer", "minimum": 1 },
            "replay": { "type": "integer", "description": "The replay that sends it, if one does." },
        },
    })
}

fn changes() -> Value {
    let columns = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "type": "object",
        "description": "Columns by what happened to them.",
        "required": ["added", "updated", "removed"],
        "properties": { "added": columns, "updated": columns, "removed": columns },
    })
}

fn source() -> Value {
    json!({
        "type": "object",
        "description": "Where the event comes from.",
        "required": ["schema", "table", "xid", "lsn"],
        "properties": {
            "database": { "type": "string" },
            "schema": { "type": "string" },
            "table": { "type": "string" },
            "xid": { "type": "integer", "minimum": 0, "description": "The transaction." },
            "lsn": {
                "type": "string",
                "pattern": "^[0-9A-F]+/[0-9A-F]+$",
                "description": "The position of its commit.",
            },
        },
    })
}

fn context() -> Value {
    nullable(json!({
        "type": "object",
        "description": "What the application said of its transaction with `rowhook.set_context`.",
        "properties": {
            "sessionVariables": { "type": "object" },
            "traceContext": { "type": "object" },
        },
    }))
}

fn logged_exceptional() -> Value {
    json!({
        "type": "object",
        "description": "An event of which a value could not be read as its type, in `rowhook events list --json`.",
        "required": ["sequenceId", "type", "record", "asText"],
        "properties": {
            "sequenceId": sequence_id(),
            "type": { "type": "string" },
            "record": { "type": "object" },
            "asText": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        },
    })
}

fn logged_note() -> Value {
    json!({
        "type": "object",
        "description": "Something that rowhook itself has to say, in `rowhook events list --json`.",
        "required": ["sequenceId", "type", "resource", "record"],
        "properties": {
            "sequenceId": sequence_id(),
            "type": { "type": "string", "pattern": "^rowhook\\." },
            "resource": { "type": "string", "const": "rowhook" },
            "record": { "type": "object" },
        },
    })
}
