//! Which tables are captured, and what differs from the defaults for a resource.

use std::fmt;

/// A table by schema and name, unquoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// What is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Patterns in order; the last one that matches a table decides.
    pub tables: Vec<TablePattern>,
    /// Rules of single resources.
    pub resources: Vec<ResourceRule>,
}

/// One entry of `capture.tables`: `public.*`, `!public.schema_migrations`, `*.orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    /// A leading `!` takes tables out again.
    pub exclude: bool,
    /// Glob over the schema's name: `*` stands for any run of characters.
    pub schema: String,
    /// Glob over the table's name.
    pub table: String,
}

/// One `[[resource]]`: what differs from the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRule {
    /// The table.
    pub table: TableName,
    /// Name in event types. Default: the table's name in schema `public`, `schema.table` elsewhere.
    pub name: Option<String>,
    /// Key columns. Default: the primary key, else the replica identity's index.
    pub key: Option<Vec<String>>,
    /// Columns that never leave the source's transaction log.
    pub exclude: Vec<String>,
    /// Columns whose values are replaced.
    pub redact: Vec<(String, Redaction)>,
}

/// What stands in the place of a redacted value. SQL null stays null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redaction {
    /// `"sha256:<hex>"` of the value's text: equal values stay equal.
    Hash,
    /// `"***"`.
    Mask,
}
