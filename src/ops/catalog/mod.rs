//! Which events there are in this database, and what they look like.
//!
//! [`Catalog`] is worked out of the source's catalogs and the settings (`gather`, `assemble`, `forms`), and
//! written in three ways: [`json_schema`], [`asyncapi`] and [`typescript`]. All three are the same bytes for
//! the same tables and settings, whatever the database is called. [`difference`] compares two JSON Schemas.

mod forms;
mod assemble;
mod gather;
mod names;
mod narrowing;
mod examples;
mod values;
mod envelope;
mod events;
mod schema;
mod asyncapi;
mod typescript;
mod difference;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::asyncapi::asyncapi;
pub use self::difference::{Change, Impact, compare};
pub use self::gather::{Gathered, gather};
pub use self::narrowing::Choice;
pub use self::schema::json_schema;
pub use self::typescript::typescript;

use crate::event::{Action, Redaction, TableName};

/// The form of the catalog itself. A catalog of a higher one cannot be compared.
pub const CATALOG_FORM: u64 = 1;

/// The form of what surrounds a row in an event. It goes up when a receiver would have to be changed.
pub const ENVELOPE_FORM: u64 = 1;

/// The events of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// By their names.
    pub resources: Vec<Resource>,
    /// The enums and composites that columns are made of, by the names that people call them.
    pub types: BTreeMap<String, NamedType>,
    /// Whether what rowhook itself has to say is among the events.
    pub notes: bool,
}

/// A captured table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// `orders`.
    pub name: String,
    /// Where its rows are.
    pub table: TableName,
    /// The comment on the table.
    pub comment: Option<String>,
    /// Columns that make up the resource's id.
    pub key: Vec<String>,
    /// The columns that events carry, in the table's order.
    pub columns: Vec<Column>,
    /// What the stream says of old rows.
    pub old_rows: OldRows,
    /// Whether every event of a row has its resource id.
    pub always_identified: bool,
    /// Whether an update may delete a row.
    pub softly_deleted: bool,
    /// The column that says whose a row is.
    pub tenant: Option<String>,
    /// What the ids that foreign keys name are called.
    pub related: Vec<String>,
    /// What may happen to it.
    pub events: Vec<Occasion>,
}

/// One type of event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    /// `orders.updated`.
    pub event_type: String,
    /// What happened.
    pub action: Action,
    /// The column that it is about, where it is about one.
    pub field: Option<String>,
}

/// What events say of a row as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldRows {
    /// Everything.
    Whole,
    /// Its key at least.
    Partial,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The comment on it.
    pub comment: Option<String>,
    /// The type as SQL writes it.
    pub sql: String,
    /// What its values look like.
    pub form: Form,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether the stream always carries it, also where it does not carry the old row.
    pub always_carried: bool,
    /// Whether it identifies the row.
    pub in_identity: bool,
}

/// What values of a type look like in JSON; null aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `true` and `false`.
    Boolean,
    /// A whole number within bounds, where they are not those of `bigint`.
    Integer(Option<(i64, i64)>),
    /// A number, or one of these words: `NaN`, `Infinity`, `-Infinity`.
    Number,
    /// A string.
    Text(Text),
    /// Any JSON, null included.
    Json,
    /// An enum or composite of [`Catalog::types`].
    Named(String),
    /// A list, declared with this many dimensions.
    Array(Box<Form>, usize),
    /// `int2vector` and `oidvector`: a flat list without nulls.
    Vector(Box<Form>),
    /// An object of strings and nulls.
    Hstore,
    /// What stands in the place of a redacted value.
    Redacted(Redaction),
}

/// What is known of a string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// A format of JSON Schema.
    pub format: Option<&'static str>,
    /// A regular expression that all of it matches.
    pub pattern: Option<&'static str>,
    /// How many characters it has at the most.
    pub longest: Option<i32>,
    /// What one looks like.
    pub example: Option<&'static str>,
}

/// A type with a name of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedType {
    /// The comment on it.
    pub comment: Option<String>,
    /// What it is.
    pub body: TypeBody,
}

/// What a named type is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeBody {
    /// One of these labels.
    Enum(Vec<String>),
    /// An object with all of these attributes, each of which may be null.
    Composite(Vec<Attribute>),
}

/// An attribute of a composite type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// The type as SQL writes it.
    pub sql: String,
    /// What its values look like.
    pub form: Form,
}

impl Resource {
    /// The column that an event is about, where it is about one that is sent.
    fn field(&self, occasion: &Occasion) -> Option<&Column> {
        let name = occasion.field.as_ref()?;
        self.columns.iter().find(|column| column.name == *name)
    }

    /// The columns that an update or delete is sure to carry although it does not carry whole old rows.
    fn carried(&self, action: Action) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(move |column| match action {
            Action::Deleted => column.in_identity,
            _ => column.always_carried,
        })
    }
}
