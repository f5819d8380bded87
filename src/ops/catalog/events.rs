//! The events of a resource as JSON Schema.

use serde_json::{Map, Value, json};

use super::envelope::{created_at, sequence_id};
use super::values::Schemas;
use super::{Column, Occasion, OldRows, Resource};
use crate::event::Action;

impl Schemas<'_> {
    /// The columns, none of which has to be there.
    pub(super) fn columns(&self, resource: &Resource) -> Value {
        let properties: Map<String, Value> = resource
            .columns
            .iter()
            .map(|column| (column.name.clone(), self.column(column)))
            .collect();
        json!({
            "type": "object",
            "description": format!("Columns of {}.", resource.table),
            "properties": properties,
        })
    }

    /// A whole row.
    pub(super) fn row(&self, resource: &Resource) -> Value {
        let told = resource.comment.as_deref();
        let description =
            told.map_or_else(|| format!("A row of {}.", resource.table), str::to_owned);
        let names = resource.columns.iter().map(|column| column.name.as_str());
        let mut row = self.with(resource, names);
        if let Some(members) = row.as_object_mut() {
            members.insert("description".into(), description.into());
        }
        row
    }

    /// A row that has these columns at least.
    fn with<'a>(&self, resource: &Resource, names: impl Iterator<Item = &'a str>) -> Value {
        json!({
            "type": "object",
            "required": names.collect::<Vec<_>>(),
            "allOf": [self.reference("columns", &resource.name)],
        })
    }

    /// An event as a request has it.
    pub(super) fn event(&self, resource: &Resource, occasion: &Occasion) -> Value {
        let Occasion {
            event_type, action, ..
        } = occasion;
        let mut required = vec![
            "type",
            "resource",
            "resourceId",
            "sequenceId",
            "createdAt",
            "data",
            "source",
            "context",
        ];
        let mut properties = Map::new();
        let mut property = |name: &str, schema: Value| properties.insert(name.into(), schema);
        property("type", json!({ "type": "string", "const": event_type }));
        property(
            "resource",
            json!({ "type": "string", "const": resource.name }),
        );
        property("resourceId", resource_id(resource, *action));
        property("sequenceId", sequence_id());
        property("createdAt", created_at());
        property("data", self.data(resource, *action));
        if action.is_update() {
            property("previousValues", self.values(resource, "Old"));
            if resource.old_rows == OldRows::Whole {
                required.push("previousValues");
            }
        } else if *action == Action::Deleted && resource.softly_deleted {
            property("previousValues", self.values(resource, "Old"));
            property("newValues", self.values(resource, "New"));
        }
        if let Some(field) = &occasion.field {
            property(
                "fieldChange",
                self.field_change(field, resource.field(occasion)),
            );
            required.push("fieldChange");
        }
        self.belongings(resource, *action, &mut property);
        if *action != Action::Truncated {
            property(
                "unknown",
                columns_listed("Columns whose value is not known; they are missing."),
            );
            property(
                "asText",
                columns_listed("Columns of which a value could not be read as its type."),
            );
            property("erasedAt", erased_at());
        }
        property("source", self.refer("source"));
        property("context", self.refer("context"));
        json!({
            "type": "object",
            "title": event_type,
            "description": description(resource, *action),
            "required": required,
            "properties": properties,
            "examples": [self.examples.event(resource, occasion)],
        })
    }

    fn values(&self, resource: &Resource, which: &str) -> Value {
        let columns = self.reference("columns", &resource.name);
        let description = format!("{which} values of the columns that changed.");
        json!({ "description": description, "allOf": [columns] })
    }

    fn data(&self, resource: &Resource, action: Action) -> Value {
        let row = || self.reference("row", &resource.name);
        let carried = || {
            self.with(
                resource,
                resource.carried(action).map(|it| it.name.as_str()),
            )
        };
        let null = || json!({ "type": "null" });
        let whole = resource.old_rows == OldRows::Whole;
        let (old, new) = match action {
            Action::Created | Action::Snapshot => (null(), row()),
            Action::Deleted if whole => (row(), null()),
            Action::Deleted => (carried(), null()),
            Action::Updated | Action::Restored | Action::Changed if whole => (row(), row()),
            Action::Updated | Action::Restored | Action::Changed => (row(), carried()),
            Action::Truncated | Action::Custom | Action::Noted => (null(), null()),
        };
        let required = if action.is_update() && !whole {
            json!(["new"])
        } else if action == Action::Deleted && resource.softly_deleted && !whole {
            json!(["new", "changes"])
        } else {
            json!(["old", "new", "changes"])
        };
        json!({
            "type": "object",
            "required": required,
            "properties": { "old": old, "new": new, "changes": self.refer("changes") },
        })
    }

    /// The events of a resource as `rowhook events list --json` has them.
    pub(super) fn logged(&self, resource: &Resource) -> Value {
        let types: Vec<&str> = resource.events.iter().map(|it| &*it.event_type).collect();
        let mut actions: Vec<&str> = resource
            .events
            .iter()
            .map(|it| it.action.as_str())
            .collect();
        actions.dedup();
        let columns = || {
            let columns = self.reference("columns", &resource.name);
            json!({ "anyOf": [columns, { "type": "null" }] })
        };
        let words = |words: Vec<&str>| json!({ "type": "string", "enum": words });
        json!({
            "type": "object",
            "description": format!("An event of {} as `rowhook events list --json` has it.", resource.name),
            "required": [
                "sequenceId", "id", "type", "resource", "resourceId", "action", "createdAt", "record",
                "previousValues", "context", "oldRow", "unknown", "asText", "source",
            ],
            "properties": {
                "sequenceId": sequence_id(),
                "id": { "type": "string", "format": "uuid" },
                "type": words(types),
                "resource": { "type": "string", "const": resource.name },
                "resourceId": { "type": ["string", "null"] },
                "action": words(actions),
                "createdAt": created_at(),
                "record": columns(),
                "previousValues": columns(),
                "context": self.refer("context"),
                "oldRow": words(vec!["absent", "key", "partial", "full"]),
                "tenant": { "type": "string" },
                "relatedIds": related_ids(&resource.related),
                "unknown": columns_listed("Columns whose value is not known; they are missing."),
                "asText": columns_listed("Columns of which a value could not be read as its type."),
                "erasedAt": erased_at(),
                "source": self.refer("source"),
            },
        })
    }

    /// Whose a row is, and what it names.
    fn belongings(
        &self,
        resource: &Resource,
        action: Action,
        property: &mut impl FnMut(&str, Value) -> Option<Value>,
    ) {
        if action == Action::Truncated {
            return;
        }
        if let Some(column) = &resource.tenant {
            let description = format!("Whose the row is: the value of {column}.");
            property(
                "tenant",
                json!({ "type": "string", "description": description }),
            );
        }
        if !resource.related.is_empty() {
            property("relatedIds", related_ids(&resource.related));
        }
    }

    /// What a field event says of its column.
    fn field_change(&self, name: &str, column: Option<&Column>) -> Value {
        let mut required = vec!["fieldName"];
        let mut properties = Map::new();
        let constant = json!({ "type": "string", "const": name });
        properties.insert("fieldName".into(), constant);
        if let Some(column) = column {
            for name in ["previousValue", "newValue"] {
                properties.insert(name.into(), self.column(column));
                required.push(name);
            }
        }
        json!({ "type": "object", "required": required, "properties": properties })
    }
}

fn related_ids(names: &[String]) -> Value {
    let ids: Map<String, Value> = names
        .iter()
        .map(|name| (name.clone(), json!({ "type": "string" })))
        .collect();
    json!({
        "type": "object",
        "description": "Ids of the rows that its foreign keys name.",
        "properties": ids,
    })
}

pub(super) fn erased_at() -> Value {
    json!({
        "type": "string",
        "format": "date-time",
        "description": "When values of it were erased; what is missing is listed in `unknown`.",
    })
}

fn columns_listed(what: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": what })
}

fn resource_id(resource: &Resource, action: Action) -> Value {
    let description = format!("Made of {}.", resource.key.join(", "));
    let kind = match action {
        Action::Truncated | Action::Custom | Action::Noted => return json!({ "type": "null" }),
        Action::Created | Action::Snapshot => json!("string"),
        _ if resource.always_identified => json!("string"),
        _ => json!(["string", "null"]),
    };
    json!({ "type": kind, "description": description })
}

pub(super) fn description(resource: &Resource, action: Action) -> String {
    let table = &resource.table;
    match action {
        Action::Created => format!("A row of {table} was inserted."),
        Action::Updated => format!("A row of {table} was updated."),
        Action::Deleted => format!("A row of {table} was deleted."),
        Action::Snapshot => format!("A row of {table} as a backfill found it."),
        Action::Truncated => format!("{table} was emptied by TRUNCATE."),
        Action::Restored => format!("A row of {table} that was deleted came back."),
        Action::Changed => format!("A field of a row of {table} was changed."),
        Action::Custom | Action::Noted => format!("Something about {table}."),
    }
}
