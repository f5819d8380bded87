//! The catalog as a JSON Schema (2020-12). Its root is the body of a webhook request.

use serde_json::{Map, Value, json};

use super::examples::Examples;
use super::values::Schemas;
use super::{CATALOG_FORM, Catalog, ENVELOPE_FORM, names};

/// How many digits of a hash make a version.
const VERSION_DIGITS: usize = 16;

/// Writes the JSON Schema.
#[must_use]
pub fn json_schema(catalog: &Catalog) -> Value {
    let mut document = without_version(catalog);
    let version = version_of(&document);
    if let Some(id) = document.get_mut("$id") {
        *id = format!("urn:rowhook:catalog:{version}").into();
    }
    if let Some(Value::Object(facts)) = document.pointer_mut("/$defs/catalog/const") {
        facts.insert("version".into(), version.into());
    }
    document
}

/// The version of a catalog: the hash of what its JSON Schema says.
pub(super) fn version(catalog: &Catalog) -> String {
    version_of(&without_version(catalog))
}

fn version_of(document: &Value) -> String {
    names::hash(document.to_string().as_bytes(), VERSION_DIGITS)
}

fn without_version(catalog: &Catalog) -> Value {
    let schemas = Schemas {
        prefix: "#/$defs/",
        examples: Examples { catalog },
    };
    let mut definitions = Map::new();
    definitions.insert("catalog".into(), facts(catalog));
    definitions.extend(schemas.definitions(catalog));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "",
        "title": "RowhookRequest",
        "description": "Events of this database, as rowhook sends them. The root is the body of a webhook request; \
                        `#/$defs/batch` is that of a webhook with `batch`, `#/$defs/logged` a line of \
                        `rowhook events list --json`.",
        "$ref": "#/$defs/request",
        "$defs": definitions,
    })
}

/// What a program has to know of the catalog itself.
fn facts(catalog: &Catalog) -> Value {
    let resources: Map<String, Value> = catalog
        .resources
        .iter()
        .map(|resource| {
            let events: Vec<&str> = resource.events.iter().map(|it| &*it.event_type).collect();
            let facts = json!({
                "table": resource.table.to_string(),
                "key": resource.key,
                "events": events,
            });
            (resource.name.clone(), facts)
        })
        .collect();
    json!({
        "description": "The catalog itself, for `rowhook catalog diff`.",
        "const": {
            "form": CATALOG_FORM,
            "envelope": ENVELOPE_FORM,
            "version": "",
            "resources": resources,
        },
    })
}

impl Schemas<'_> {
    /// Every definition by its name.
    pub(super) fn definitions(&self, catalog: &Catalog) -> Map<String, Value> {
        let occasions = || catalog.resources.iter().flat_map(|it| &it.events);
        let types: Vec<&str> = occasions().map(|it| it.event_type.as_str()).collect();
        let mut definitions: Map<String, Value> = self.surroundings(&types).into_iter().collect();
        let mut choices: Vec<Value> = occasions()
            .map(|occasion| self.reference("event", &occasion.event_type))
            .collect();
        choices.extend([self.refer("exceptional"), self.refer("custom")]);
        if catalog.notes {
            choices.push(self.refer("note"));
            definitions.insert("note".into(), self.note());
        }
        definitions.insert("event".into(), json!({ "anyOf": choices }));
        let names = catalog.resources.iter().map(|resource| &*resource.name);
        let mut choices: Vec<Value> = names.map(|name| self.reference("logged", name)).collect();
        let others = ["loggedExceptional", "loggedCustom", "loggedNote"];
        choices.extend(others.map(|name| self.refer(name)));
        definitions.insert("logged".into(), json!({ "anyOf": choices }));
        for (name, kind) in &catalog.types {
            definitions.insert(format!("type.{}", names::key(name)), self.named(kind));
        }
        for resource in &catalog.resources {
            let name = names::key(&resource.name);
            definitions.insert(format!("columns.{name}"), self.columns(resource));
            definitions.insert(format!("row.{name}"), self.row(resource));
            definitions.insert(format!("logged.{name}"), self.logged(resource));
            for occasion in &resource.events {
                let name = names::key(&occasion.event_type);
                definitions.insert(format!("event.{name}"), self.event(resource, occasion));
            }
        }
        definitions
    }
}
