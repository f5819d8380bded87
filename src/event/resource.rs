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

impl Capture {
    /// Whether a table is captured: the last pattern that matches it decides. Our own tables never
    /// are.
    #[must_use]
    pub fn includes(&self, schema: &str, table: &str) -> bool {
        let decisive = self
            .tables
            .iter()
            .rev()
            .find(|pattern| pattern.matches(schema, table));
        schema != "rowhook" && decisive.is_some_and(|pattern| !pattern.exclude)
    }

    /// Whether a pattern names exactly this table, without a wildcard.
    #[must_use]
    pub fn names(&self, schema: &str, table: &str) -> bool {
        self.tables
            .iter()
            .any(|pattern| !pattern.exclude && pattern.schema == schema && pattern.table == table)
    }

    /// Whether a table's old values may come from the log.
    #[must_use]
    pub fn recalls(&self, schema: &str, table: &str) -> bool {
        self.rule(schema, table)
            .is_some_and(|rule| rule.previous == PreviousFrom::Log)
    }

    /// The rule of a table's resource.
    #[must_use]
    pub fn rule(&self, schema: &str, table: &str) -> Option<&ResourceRule> {
        self.resources
            .iter()
            .find(|rule| rule.table.schema == schema && rule.table.name == table)
    }
}

impl TablePattern {
    /// Whether the pattern speaks of a table.
    #[must_use]
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        glob(self.schema.as_bytes(), schema.as_bytes())
            && glob(self.table.as_bytes(), table.as_bytes())
    }
}

/// `*` stands for any run of characters. Linear: on a mismatch only the last `*` is tried again.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut retry = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, from));
                at += 1;
            }
            Some(byte) if Some(byte) == text.get(from) => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((after_star, tried)) = retry else {
                    return false;
                };
                retry = Some((after_star, tried + 1));
                at = after_star;
                from = tried + 1;
            }
        }
    }
    pattern
        .get(at..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
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
    /// Where old values come from that the stream does not carry.
    pub previous: PreviousFrom,
    /// A column that is null as long as the row counts.
    pub deleted_at: Option<String>,
    /// Columns whose changes are events of their own.
    pub fields: Vec<String>,
    /// The column that says whose a row is.
    pub tenant: Option<String>,
    /// Whether events tell the ids that foreign keys name.
    pub related: bool,
    /// Columns that are documents: their previous values are told key by key. `None` leaves it to the
    /// format.
    pub documents: Option<Vec<String>>,
}

impl ResourceRule {
    /// The defaults.
    #[must_use]
    pub fn of(table: TableName) -> Self {
        Self {
            table,
            name: None,
            key: None,
            exclude: Vec::new(),
            redact: Vec::new(),
            previous: PreviousFrom::Stream,
            deleted_at: None,
            fields: Vec::new(),
            tenant: None,
            related: true,
            documents: None,
        }
    }
}

/// Where the old values of a resource come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreviousFrom {
    /// From the stream alone: what the replica identity carries.
    #[default]
    Stream,
    /// What the stream does not carry, from the row's last event in the log.
    Log,
}

/// What stands in the place of a redacted value. SQL null stays null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redaction {
    /// `"sha256:<hex>"` of the value's text: equal values stay equal.
    Hash,
    /// `"***"`.
    Mask,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> TablePattern {
        let (exclude, text) = text
            .strip_prefix('!')
            .map_or((false, text), |rest| (true, rest));
        let (schema, table) = text.split_once('.').unwrap();
        TablePattern {
            exclude,
            schema: schema.into(),
            table: table.into(),
        }
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let tables = [
            "public.*",
            "!public.schema_*",
            "public.schema_notes",
            "*.audit",
        ]
        .map(pattern)
        .to_vec();
        let capture = Capture {
            tables,
            resources: Vec::new(),
        };
        for (schema, table, included) in [
            ("public", "posts", true),
            ("public", "schema_migrations", false),
            ("public", "schema_notes", true),
            ("sales", "posts", false),
            ("sales", "audit", true),
            ("rowhook", "audit", false),
        ] {
            assert_eq!(
                capture.includes(schema, table),
                included,
                "{schema}.{table}"
            );
        }
        assert!(capture.names("public", "schema_notes") && !capture.names("public", "posts"));
    }

    /// The textbook definition, exponential and plainly right.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => reference(rest, text),
            (Some((b'*', rest)), Some((_, tail))) => {
                reference(rest, text) || reference(pattern, tail)
            }
            (Some((byte, rest)), Some((first, tail))) => byte == first && reference(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn globs_match_what_they_should(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), reference(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
