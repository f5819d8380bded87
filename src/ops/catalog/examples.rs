//! What values and events look like: made up from their types, never from rows.

use serde_json::{Map, Value, json};

use super::{Catalog, Column, Form, Occasion, OldRows, Resource, Text, TypeBody};
use crate::event::{Action, Redaction};

/// Makes examples up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Examples<'a> {
    pub(super) catalog: &'a Catalog,
}

/// One value, or another one of the same type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    One,
    Other,
}

impl Examples<'_> {
    /// A value.
    pub(super) fn value(&self, form: &Form) -> Value {
        self.make(form, Which::One)
    }

    fn make(&self, form: &Form, which: Which) -> Value {
        let choose = |one: Value, other: Value| if which == Which::One { one } else { other };
        match form {
            Form::Boolean => choose(true.into(), false.into()),
            Form::Integer(_) => choose(1.into(), 2.into()),
            Form::Number => choose(json!(12.5), json!(20)),
            Form::Text(text) => string(text, which),
            Form::Json => choose(json!({}), json!({ "key": "value" })),
            Form::Named(name) => self.named(name, which),
            Form::Array(element, dimensions) => {
                let element = self.make(element, which);
                (0..*dimensions).fold(element, |value, _| json!([value]))
            }
            Form::Vector(element) => json!([self.make(element, which)]),
            Form::Hstore => choose(json!({}), json!({ "key": "value" })),
            Form::Redacted(Redaction::Mask) => "***".into(),
            Form::Redacted(Redaction::Hash) => {
                let digit = if which == Which::One { "0" } else { "1" };
                format!("sha256:{}", digit.repeat(64)).into()
            }
        }
    }

    fn named(&self, name: &str, which: Which) -> Value {
        match self.catalog.types.get(name).map(|kind| &kind.body) {
            Some(TypeBody::Enum(labels)) => {
                let label = match which {
                    Which::One => labels.first(),
                    Which::Other => labels.last(),
                };
                label.map_or("", String::as_str).into()
            }
            Some(TypeBody::Composite(attributes)) => {
                let members = attributes
                    .iter()
                    .map(|it| (it.name.clone(), self.make(&it.form, which)));
                members.collect::<Map<_, _>>().into()
            }
            None => Value::Null,
        }
    }

    fn row<'a>(&self, columns: impl IntoIterator<Item = &'a Column>, other: Option<&str>) -> Value {
        let members = columns.into_iter().map(|column| {
            let which = if other == Some(&*column.name) {
                Which::Other
            } else {
                Which::One
            };
            (column.name.clone(), self.make(&column.form, which))
        });
        members.collect::<Map<_, _>>().into()
    }

    /// The column that an example's update changes.
    fn updated<'a>(&self, resource: &'a Resource, occasion: &Occasion) -> Option<&'a Column> {
        if occasion.field.is_some() {
            return resource.field(occasion);
        }
        resource.columns.iter().find(|column| {
            !resource.key.contains(&column.name)
                && self.make(&column.form, Which::One) != self.make(&column.form, Which::Other)
        })
    }

    /// The body of a request with an event.
    pub(super) fn request(&self, resource: &Resource, occasion: &Occasion) -> Value {
        json!({
            "id": "01a1fc28-edc6-8a8c-a268-2240a514bc67",
            "event": self.event(resource, occasion),
            "subscription": "billing",
            "delivery": { "id": "9fae4066-21b7-85ac-baf1-723dfe99ce22", "attempt": 1 },
        })
    }

    /// What a request says of an event.
    pub(super) fn event(&self, resource: &Resource, occasion: &Occasion) -> Value {
        let action = occasion.action;
        let id = (action != Action::Truncated).then(|| self.resource_id(resource));
        let mut event = json!({
            "type": occasion.event_type,
            "resource": resource.name,
            "resourceId": id,
            "sequenceId": 13,
            "createdAt": "2026-01-31T12:30:00.5Z",
            "data": self.data(resource, occasion),
        });
        if let Some(members) = event.as_object_mut() {
            if action.is_update() && resource.old_rows == OldRows::Whole {
                let updated = self.updated(resource, occasion);
                members.insert("previousValues".into(), self.row(updated, None));
            }
            if occasion.field.is_some() {
                members.insert("fieldChange".into(), self.field_change(resource, occasion));
            }
            if action != Action::Truncated {
                self.belongings(resource, members);
            }
            let source = json!({
                "database": "shop",
                "schema": resource.table.schema,
                "table": resource.table.name,
                "xid": 771,
                "lsn": "16/B374D848",
            });
            members.insert("source".into(), source);
            members.insert("context".into(), Value::Null);
        }
        event
    }

    fn resource_id(&self, resource: &Resource) -> String {
        let columns = resource.columns.iter();
        let key = columns.filter(|column| resource.key.contains(&column.name));
        let parts = key.map(|column| match self.make(&column.form, Which::One) {
            Value::String(text) => text,
            other => other.to_string(),
        });
        parts.collect::<Vec<_>>().join(",")
    }

    fn field_change(&self, resource: &Resource, occasion: &Occasion) -> Value {
        let mut change = Map::new();
        change.insert("fieldName".into(), occasion.field.clone().into());
        if let Some(column) = resource.field(occasion) {
            for (name, which) in [("previousValue", Which::One), ("newValue", Which::Other)] {
                change.insert(name.into(), self.make(&column.form, which));
            }
        }
        change.into()
    }

    fn belongings(&self, resource: &Resource, members: &mut Map<String, Value>) {
        if resource.tenant.is_some() {
            members.insert("tenant".into(), "acme".into());
        }
        if !resource.related.is_empty() {
            let ids = resource
                .related
                .iter()
                .map(|name| (name.clone(), "7".into()));
            members.insert("relatedIds".into(), ids.collect::<Map<_, _>>().into());
        }
    }

    fn data(&self, resource: &Resource, occasion: &Occasion) -> Value {
        let action = occasion.action;
        let columns = || resource.columns.iter();
        let names = || columns().map(|it| it.name.as_str()).collect::<Vec<_>>();
        let changes = |added: Vec<&str>, updated: Vec<&str>, removed: Vec<&str>| json!({ "added": added, "updated": updated, "removed": removed });
        match (action, resource.old_rows) {
            (Action::Created | Action::Snapshot, _) => json!({
                "old": null,
                "new": self.row(columns(), None),
                "changes": changes(names(), vec![], vec![]),
            }),
            (Action::Deleted, OldRows::Whole) => json!({
                "old": self.row(columns(), None),
                "new": null,
                "changes": changes(vec![], vec![], names()),
            }),
            (Action::Deleted, OldRows::Partial) => {
                let known: Vec<_> = resource.carried(action).collect();
                let removed = known.iter().map(|it| it.name.as_str()).collect();
                json!({
                    "old": self.row(known, None),
                    "new": null,
                    "changes": changes(vec![], vec![], removed),
                })
            }
            (_, OldRows::Whole) if action.is_update() => {
                let updated = self.updated(resource, occasion);
                let updated = updated.map(|it| it.name.as_str());
                json!({
                    "old": self.row(columns(), None),
                    "new": self.row(columns(), updated),
                    "changes": changes(vec![], updated.into_iter().collect(), vec![]),
                })
            }
            (_, OldRows::Partial) if action.is_update() => {
                let updated = self.updated(resource, occasion);
                let updated = updated.map(|it| it.name.as_str());
                json!({ "new": self.row(columns(), updated) })
            }
            _ => json!({ "old": null, "new": null, "changes": changes(vec![], vec![], vec![]) }),
        }
    }
}

fn string(text: &Text, which: Which) -> Value {
    let example = match (text.example, which) {
        (Some(example), _) => example,
        (None, Which::One) => "text",
        (None, Which::Other) => "words",
    };
    let longest = text
        .longest
        .and_then(|longest| usize::try_from(longest).ok())
        .unwrap_or(usize::MAX);
    example.chars().take(longest).collect::<String>().into()
}
