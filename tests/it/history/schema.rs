//! The tables that are written, and the triggers that tell the truth about them.

use tokio_postgres::Client;

/// What the checker knows about a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Names an event's resource: the primary key, or what stands in for it.
    pub(crate) key: &'static [&'static str],
    /// Columns of the index that is the replica identity, where one is.
    pub(crate) index: &'static [&'static str],
    /// A column besides the key that an insert has to fill, and how from the key's number.
    pub(crate) more: Option<Filled>,
    /// The key's values as SQL, from the key's number.
    pub(crate) values: fn(u64) -> Vec<String>,
}

const TENANTS: [&str; 7] = ["a", "a,b", "b", "quo\"te", "back\\slash", "it''s é", ""];
const REGIONS: [&str; 4] = ["north", "south", "east", "west"];

fn number(k: u64) -> Vec<String> {
    vec![k.to_string()]
}

fn tenant(k: u64) -> Vec<String> {
    vec![
        format!("'{}'", TENANTS[(k % 7) as usize]),
        (k / 7).to_string(),
    ]
}

fn code(k: u64) -> Vec<String> {
    vec![format!("'c,{k}\"'"), (k % 3).to_string()]
}

fn region(k: u64) -> Vec<String> {
    vec![
        format!("'{}'", REGIONS[(k % 4) as usize]),
        (k / 4).to_string(),
    ]
}

/// A column, and its value as SQL.
type Filled = (&'static str, fn(u64) -> String);

/// Tables of small rows that everyone writes to.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "full_rows",
        key: &["id"],
        index: &[],
        more: None,
        values: number,
    },
    Table {
        name: "default_rows",
        key: &["tenant", "id"],
        index: &[],
        more: None,
        values: tenant,
    },
    Table {
        name: "index_rows",
        key: &["code", "region"],
        index: &["code", "region"],
        more: None,
        values: code,
    },
    Table {
        name: "index_beside_key",
        key: &["id"],
        index: &["code"],
        more: Some(("code", |k| format!("'code {k}'"))),
        values: number,
    },
    Table {
        name: "parted",
        key: &["region", "id"],
        index: &[],
        more: None,
        values: region,
    },
    Table {
        name: "parents",
        key: &["id"],
        index: &[],
        more: None,
        values: number,
    },
    Table {
        name: "children",
        key: &["id"],
        index: &[],
        more: Some(("parent", |k| {
            format!("(select id from parents where id = {})", k % 50)
        })),
        values: number,
    },
];

/// Those that can have `previous = "log"`: it makes a difference where the stream tells of old rows
/// less than all, and carries the key.
pub(crate) const RECALLED: &[&str] = &[
    "full_rows",
    "default_rows",
    "index_rows",
    "index_beside_key",
    "parents",
    "children",
];

/// Those that have a primary key for a backfill to go along.
pub(crate) const BACKFILLED: &[&str] = &[
    "full_rows",
    "default_rows",
    "index_beside_key",
    "parted",
    "parents",
    "children",
];

/// How many rows they have before anything is captured.
pub(crate) const ROWS_BEFORE: u64 = 2000;

/// The table of transactions that are too large for one batch.
pub(crate) const BULK: Table = Table {
    name: "bulk_rows",
    key: &["id"],
    index: &[],
    more: None,
    values: number,
};

/// Tables that come while everything runs are all alike: `new_7`, and `was_7` once it is renamed.
pub(crate) const NEW: Table = Table {
    name: "new",
    key: &["id"],
    index: &[],
    more: None,
    values: number,
};

/// What is known of a table of this name.
pub(crate) fn known(name: &str) -> Option<&'static Table> {
    if name.starts_with("new_") || name.starts_with("was_") {
        return Some(&NEW);
    }
    TABLES
        .iter()
        .chain(std::iter::once(&BULK))
        .find(|table| table.name == name)
}

/// Fills tables with rows that no trigger tells of.
pub(crate) async fn fill(client: &Client) {
    for table in TABLES {
        let rows = super::plan::rows_before(table, 0..ROWS_BEFORE);
        let sql = format!(
            "set session_replication_role = replica; {rows}; reset session_replication_role"
        );
        client.batch_execute(&sql).await.unwrap();
    }
}

/// What the source holds before anything happens.
pub(crate) async fn install(client: &Client) {
    client
        .batch_execute(include_str!("tables.sql"))
        .await
        .unwrap();
}
