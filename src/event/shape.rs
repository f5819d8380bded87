//! A relation and its resource's rules, worked out once: all that a row change needs to become an
//! event.

use std::sync::Arc;

use super::kind::{Kind, TypeCatalog};
use super::{Action, Redaction, ResourceRule, json};
use crate::decode::Relation;

/// How the rows of one relation become events.
#[derive(Debug)]
pub struct Shape {
    /// `posts`.
    pub resource: Arc<str>,
    /// Schema of the table.
    pub schema: Arc<str>,
    /// Table.
    pub table: Arc<str>,
    pub(super) columns: Vec<Column>,
    pub(super) key: Vec<usize>,
    types: [Arc<str>; 4],
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// `"name":`
    pub(super) label: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) treatment: Treatment,
    pub(super) in_identity: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    Keep,
    Exclude,
    Redact(Redaction),
}

impl Shape {
    /// Works out the shape of `relation`. `primary_key` is what the catalogs say of it; where they
    /// say nothing, the replica identity's columns stand in, unless it is the whole row.
    #[must_use]
    pub fn new(
        relation: &Relation,
        rule: Option<&ResourceRule>,
        primary_key: &[String],
        types: &TypeCatalog,
    ) -> Self {
        let resource = resource_name(&relation.schema, &relation.name, rule);
        let columns: Vec<Column> = relation
            .columns
            .iter()
            .map(|column| Column {
                label: json::label(&column.name),
                kind: types.kind(column.type_oid),
                treatment: treatment(&column.name, rule),
                in_identity: column.in_identity,
                name: column.name.clone(),
            })
            .collect();
        let key = key_columns(relation, rule, primary_key);
        let event_type = |action: Action| Arc::from(format!("{resource}.{}", action.as_str()));
        Self {
            types: [
                Action::Created,
                Action::Updated,
                Action::Deleted,
                Action::Truncated,
            ]
            .map(event_type),
            schema: Arc::from(relation.schema.as_str()),
            table: Arc::from(relation.name.as_str()),
            resource: Arc::from(resource),
            columns,
            key,
        }
    }

    /// `posts.updated`.
    #[must_use]
    pub fn event_type(&self, action: Action) -> &Arc<str> {
        let [created, updated, deleted, truncated] = &self.types;
        match action {
            Action::Created | Action::Noted => created,
            Action::Updated => updated,
            Action::Deleted => deleted,
            Action::Truncated => truncated,
        }
    }

    /// Whether the replica identity's columns hold the whole key.
    pub(super) fn key_in_identity(&self) -> bool {
        self.key.iter().all(|place| {
            self.columns
                .get(*place)
                .is_some_and(|column| column.in_identity)
        })
    }

    /// Name of a column, by its place.
    #[must_use]
    pub fn column_name(&self, index: usize) -> &str {
        self.columns.get(index).map_or("", |column| &column.name)
    }
}

/// The name in event types: by rule, else the table's name, with its schema unless that is `public`.
#[must_use]
pub fn resource_name(schema: &str, table: &str, rule: Option<&ResourceRule>) -> String {
    match rule.and_then(|rule| rule.name.as_deref()) {
        Some(name) => name.to_owned(),
        None if schema == "public" => table.to_owned(),
        None => format!("{schema}.{table}"),
    }
}

fn treatment(column: &str, rule: Option<&ResourceRule>) -> Treatment {
    let Some(rule) = rule else {
        return Treatment::Keep;
    };
    if rule.exclude.iter().any(|name| name == column) {
        return Treatment::Exclude;
    }
    let redaction = rule.redact.iter().find(|(name, _)| name == column);
    redaction.map_or(Treatment::Keep, |(_, redaction)| {
        Treatment::Redact(*redaction)
    })
}

fn key_columns(
    relation: &Relation,
    rule: Option<&ResourceRule>,
    primary_key: &[String],
) -> Vec<usize> {
    let positions = |names: &[String]| -> Option<Vec<usize>> {
        names
            .iter()
            .map(|name| {
                relation
                    .columns
                    .iter()
                    .position(|column| column.name == *name)
            })
            .collect()
    };
    let chosen = rule
        .and_then(|rule| rule.key.as_deref())
        .unwrap_or(primary_key);
    match positions(chosen) {
        Some(key) if !key.is_empty() => key,
        // With FULL every column is marked, which is no key.
        _ if relation.identity == b'f' => Vec::new(),
        _ => (0..)
            .zip(&relation.columns)
            .filter(|(_, column)| column.in_identity)
            .map(|(index, _)| index)
            .collect(),
    }
}
