//! A catalog as it was written to a file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ops::catalog::{CATALOG_FORM, names};

/// A JSON Schema that `rowhook catalog` wrote.
pub(super) struct Document<'a> {
    definitions: &'a Map<String, Value>,
    pub(super) envelope: u64,
    pub(super) resources: BTreeMap<String, ResourceFacts>,
}

/// What the catalog says of a resource beside its schemas.
#[derive(Debug, Deserialize)]
pub(super) struct ResourceFacts {
    pub(super) table: String,
    pub(super) key: Vec<String>,
    pub(super) events: Vec<String>,
}

#[derive(Deserialize)]
struct Form {
    form: u64,
}

#[derive(Deserialize)]
struct Facts {
    envelope: u64,
    resources: BTreeMap<String, ResourceFacts>,
}

impl<'a> Document<'a> {
    /// Reads a document.
    ///
    /// # Errors
    /// Why it cannot be compared.
    pub(super) fn read(document: &'a Value) -> Result<Self, String> {
        let none = || "is not a JSON Schema that `rowhook catalog` wrote".to_owned();
        if document.get("asyncapi").is_some() {
            return Err("is an AsyncAPI document; JSON Schemas are compared".to_owned());
        }
        let definitions = document.get("$defs").and_then(Value::as_object);
        let definitions = definitions.ok_or_else(none)?;
        let facts = document.pointer("/$defs/catalog/const").ok_or_else(none)?;
        let Form { form } = Form::deserialize(facts).map_err(|_| none())?;
        if form > CATALOG_FORM {
            return Err(format!(
                "was written by a newer rowhook (catalogs of form {form}; this one reads up to {CATALOG_FORM})"
            ));
        }
        let facts = Facts::deserialize(facts).map_err(|_| none())?;
        Ok(Self {
            definitions,
            envelope: facts.envelope,
            resources: facts.resources,
        })
    }

    /// The types of all events.
    pub(super) fn events(&self) -> impl Iterator<Item = &str> {
        let resources = self.resources.values();
        resources.flat_map(|resource| resource.events.iter().map(String::as_str))
    }

    pub(super) fn has_event(&self, event_type: &str) -> bool {
        self.events().any(|event| event == event_type)
    }

    /// The schema of an event.
    pub(super) fn event(&self, event_type: &str) -> Option<&'a Value> {
        self.definition(&format!("event.{}", names::key(event_type)))
    }

    /// A definition by its name.
    pub(super) fn definition(&self, name: &str) -> Option<&'a Value> {
        self.definitions.get(name)
    }
}
