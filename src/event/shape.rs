//! A relation and its resource's rules, worked out once: all that a row change needs to become an
//! event.

use std::sync::Arc;

use super::kind::{Kind, TypeCatalog};
use super::reference::Reference;
use super::{Action, PreviousFrom, Redaction, ResourceRule, json};
use crate::decode::{Field, Relation, Tuple};

/// How the rows of one relation become events.
#[derive(Debug)]
pub struct Shape {
    /// `posts`.
    pub resource: Arc<str>,
    /// Schema of the table.
    pub schema: Arc<str>,
    /// Table.
    pub table: Arc<str>,
    /// Whether old values may be taken from the row's last event in the log.
    pub recalls: bool,
    pub(super) columns: Vec<Column>,
    pub(super) key: Vec<usize>,
    /// The column that is null as long as a row counts.
    pub(super) deleted_at: Option<usize>,
    /// The columns whose changes are events of their own, with the shapes of those.
    pub(super) fields: Vec<(usize, Arc<Shape>)>,
    /// The column that says whose a row is.
    pub(super) tenant: Option<usize>,
    /// What of other tables a row names.
    pub(super) references: Vec<Reference>,
    /// Whether old rows may lack what is not in the identity.
    pub(super) sparse: bool,
    pub(super) types: [Arc<str>; 6],
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    /// `"name":`
    pub(super) label: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) treatment: Treatment,
    pub(super) in_identity: bool,
    /// An old null may stand for a default that the server lost.
    doubtful: bool,
    /// Its value stands elsewhere in the event, too.
    pub(super) is_quoted: bool,
}

impl Column {
    /// The name as a JSON string.
    pub(super) fn key(&self) -> &str {
        let quoted = self.label.strip_suffix(b":").unwrap_or(&self.label);
        std::str::from_utf8(quoted).unwrap_or_default()
    }

    /// What an old row really says of the column.
    pub(super) fn old<'a>(&self, field: Field<'a>) -> Field<'a> {
        match field {
            Field::Null if self.doubtful => Field::Unchanged,
            field => field,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    Keep,
    Exclude,
    Redact(Redaction),
}

impl Shape {
    /// Works out the shape of `relation`, whose rows are named by the columns `key`.
    #[must_use]
    pub fn new(
        relation: &Relation,
        rule: Option<&ResourceRule>,
        key: &[String],
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
                doubtful: false,
                is_quoted: false,
                name: column.name.clone(),
            })
            .collect();
        let key = places(&columns, key);
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let deleted_at = rule.and_then(|rule| rule.deleted_at.as_ref());
        let event_type = |action: Action| Arc::from(format!("{resource}.{}", action.as_str()));
        let shape = Self {
            types: [
                Action::Created,
                Action::Updated,
                Action::Deleted,
                Action::Truncated,
                Action::Snapshot,
                Action::Restored,
            ]
            .map(event_type),
            schema: Arc::from(relation.schema.as_str()),
            table: Arc::from(relation.name.as_str()),
            resource: Arc::from(resource),
            recalls: recalls(rule, &columns, &key),
            deleted_at: deleted_at.and_then(place),
            columns,
            key,
            fields: Vec::new(),
            tenant: None,
            references: Vec::new(),
            sparse: false,
        };
        match rule {
            Some(rule) => shape
                .owned_by(rule.tenant.as_deref())
                .announcing(&rule.fields),
            None => shape,
        }
    }

    /// Rows belong to whom this column names.
    fn owned_by(mut self, column: Option<&str>) -> Self {
        self.tenant = column.and_then(|name| self.shown(name));
        if let Some(place) = self.tenant {
            self.quote(place);
        }
        self
    }

    /// The shape of what rowhook itself has to tell, as `rowhook.wal_budget`.
    #[must_use]
    pub fn of_notes(event_type: &str) -> Self {
        let resource = event_type.split('.').next().unwrap_or(event_type);
        Self {
            types: [(); 6].map(|()| Arc::from(event_type)),
            schema: Arc::from(""),
            table: Arc::from(""),
            resource: Arc::from(resource),
            recalls: false,
            columns: Vec::new(),
            key: Vec::new(),
            deleted_at: None,
            fields: Vec::new(),
            tenant: None,
            references: Vec::new(),
            sparse: false,
        }
    }

    /// The shape of what the application has to tell, as `invoice.sent` of `invoices`.
    #[must_use]
    pub fn of_custom(event_type: &str, resource: &str) -> Self {
        Self {
            resource: Arc::from(resource),
            ..Self::of_notes(event_type)
        }
    }

    /// Rows are in partitions, which may identify them by `columns`. The stream tells the identity of
    /// the partitioned table alone: where that is FULL and a partition's is not, old rows come as
    /// whole ones with null for everything but those columns.
    #[must_use]
    pub fn in_partitions(mut self, columns: &[String]) -> Self {
        let identify = |column: &Column| columns.contains(&column.name);
        if self.columns.iter().all(|column| column.in_identity) && self.columns.iter().any(identify)
        {
            for column in &mut self.columns {
                column.in_identity = columns.contains(&column.name);
            }
            self.sparse = true;
            self.recalls &= self.key_in_identity();
        }
        self
    }

    /// Old rows have null for `columns` where they hold no value of their own, but a default of when the
    /// column was added (PostgreSQL 14, partitions).
    #[must_use]
    pub fn losing_defaults(mut self, columns: &[String]) -> Self {
        for column in &mut self.columns {
            column.doubtful = columns.contains(&column.name);
        }
        self
    }

    /// Whether a whole old row may be one of which only the key was carried. A row whose other
    /// columns were all null cannot be told from it: saying less than is known is not wrong.
    pub(super) fn carries_key_alone(&self, row: &Tuple<'_>) -> bool {
        let mut others = (self.columns.iter().zip(row.fields()))
            .filter(|(column, _)| !column.in_identity)
            .peekable();
        self.sparse && others.peek().is_some() && others.all(|(_, field)| field == Field::Null)
    }

    /// `posts.updated`.
    #[must_use]
    pub fn event_type(&self, action: Action) -> &Arc<str> {
        let [created, updated, deleted, truncated, snapshot, restored] = &self.types;
        match action {
            Action::Created | Action::Custom | Action::Noted => created,
            Action::Updated | Action::Changed => updated,
            Action::Deleted => deleted,
            Action::Truncated => truncated,
            Action::Snapshot => snapshot,
            Action::Restored => restored,
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

/// A row is found in the log by its old key, so the stream must carry that: the key has to be a part
/// of the replica identity.
fn recalls(rule: Option<&ResourceRule>, columns: &[Column], key: &[usize]) -> bool {
    let from_log = rule.is_some_and(|rule| rule.previous == PreviousFrom::Log);
    let identified = |index: &usize| columns.get(*index).is_some_and(|column| column.in_identity);
    from_log && !key.is_empty() && key.iter().all(identified)
}

/// The places of the key's columns, in its order.
fn places(columns: &[Column], names: &[String]) -> Vec<usize> {
    names
        .iter()
        .filter_map(|name| columns.iter().position(|column| column.name == *name))
        .collect()
}
