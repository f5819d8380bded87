//! The publication and the tables in it.

use std::fmt::Write as _;

use tokio_postgres::types::{PgLsn, Type};

use super::text::{Name, plain};
use super::{Connection, Lsn, server_error::sql_fault};
use crate::fault::Result;

/// A table of the source, or what could be taken for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Object id.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Whether schema and name are UTF-8: others are shown with `\xHH`, and no statement can say them.
    pub nameable: bool,
    /// `relkind`: `r` or `p` (partitioned); `v`, `m` (materialized) and `f` (foreign) are no tables.
    pub kind: char,
    /// `relpersistence`: `p`, `u` (unlogged) or `t` (temporary).
    pub persistence: char,
    /// `relreplident`: `d`, `n`, `f` or `i`.
    pub identity: char,
    /// Whether it is a partition of another table.
    pub partition: bool,
    /// Columns of the primary key, in its order.
    pub primary_key: Vec<String>,
    /// Columns of the replica identity's index, where one is set.
    pub identity_key: Vec<String>,
    /// All columns.
    pub columns: Vec<String>,
    /// Whether the publication names it.
    pub published: bool,
    /// Whether our role may add it to a publication and set its identity.
    pub owned: bool,
    /// Partitions of which nothing is in the WAL: foreign and unlogged ones.
    pub dark_partitions: Vec<String>,
    /// Its entry in the publication, made anew whenever it is put in.
    pub membership: Option<u32>,
    /// Whether the publication leaves out rows or columns of it.
    pub filtered: bool,
}

impl Table {
    /// The name as messages say it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The name as SQL wants it.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }
}

/// An identifier in double quotes.
#[must_use]
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

const TABLES: &str = include_str!("../../sql/source_tables.sql");

/// Every table that could be captured, system schemas and our own left out.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn tables(connection: &Connection, publication: &str) -> Result<Vec<Table>> {
    let what = "cannot list the source's tables";
    let rows = connection
        .query_typed(TABLES, &[(&publication, Type::TEXT)])
        .await
        .map_err(|error| sql_fault(what, error))?;
    rows.iter()
        .map(|row| read_table(row).map_err(|error| sql_fault(what, error)))
        .collect()
}

fn read_table(row: &tokio_postgres::Row) -> Result<Table, tokio_postgres::Error> {
    let letter = |index: usize| -> Result<char, tokio_postgres::Error> {
        Ok(row
            .try_get::<_, String>(index)?
            .chars()
            .next()
            .unwrap_or(' '))
    };
    let (schema, name): (Name, Name) = (row.try_get(1)?, row.try_get(2)?);
    let names = |index: usize| row.try_get(index).map(plain);
    Ok(Table {
        oid: row.try_get(0)?,
        nameable: schema.exact && name.exact,
        schema: schema.text,
        name: name.text,
        kind: letter(3)?,
        persistence: letter(4)?,
        identity: letter(5)?,
        partition: row.try_get(6)?,
        primary_key: names(7)?,
        identity_key: names(8)?,
        columns: names(9)?,
        published: row.try_get(10)?,
        owned: row.try_get(11)?,
        dark_partitions: row.try_get(12)?,
        membership: row.try_get(13)?,
        filtered: row.try_get(14)?,
    })
}

/// The publication, as `pg_publication` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Object id.
    pub oid: u32,
    /// Another one whenever it is renamed or its options or owner are changed.
    pub version: String,
    /// Owner's object id.
    pub owner: u32,
    /// Whether changes of partitions come as their root's.
    pub via_root: bool,
    /// FOR ALL TABLES: tables need not be added.
    pub all_tables: bool,
    /// Whether inserts, updates, deletes and truncates are all published.
    pub complete: bool,
    /// Whether our role may add tables to it.
    pub owned: bool,
}

/// Reads the publication's state; `None` where there is none of that name.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn look_up(connection: &Connection, name: &str) -> Result<Option<Publication>> {
    let what = || format!("cannot read publication \"{name}\"");
    let row = connection
        .query_typed_opt(
            "select puballtables, pubinsert and pubupdate and pubdelete and pubtruncate, \
                    pg_catalog.pg_has_role(pubowner, 'usage'), oid, xmin::text, pubowner, pubviaroot \
             from pg_catalog.pg_publication where pubname = $1::text",
            &[(&name, Type::TEXT)],
        )
        .await
        .map_err(|error| sql_fault(what(), error))?;
    let read = |row: tokio_postgres::Row| -> Result<Publication, tokio_postgres::Error> {
        Ok(Publication {
            all_tables: row.try_get(0)?,
            complete: row.try_get(1)?,
            owned: row.try_get(2)?,
            oid: row.try_get(3)?,
            version: row.try_get(4)?,
            owner: row.try_get(5)?,
            via_root: row.try_get(6)?,
        })
    };
    row.map(read)
        .transpose()
        .map_err(|error| sql_fault(what(), error))
}

/// Marks everything that, changed, would make an earlier event of a row another row or another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of the publication's entry, the table, its primary key, and what the settings say of it.
    pub mark: i64,
    /// Of each column.
    pub columns: Vec<String>,
    /// Where the source's WAL ended when this was read.
    pub wal_end: Lsn,
}

/// Reads the fingerprint of a relation, which rowhook names and reads as `settings` says; `None` where
/// changes could be missed without a trace: rows in partitions, a row filter, a publication by schema.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn fingerprint(
    connection: &Connection,
    publication: &str,
    relation: u32,
    settings: &str,
) -> Result<Option<Fingerprint>> {
    let fault = |error| sql_fault(format!("cannot read publication \"{publication}\""), error);
    let row = connection
        .query_opt(
            include_str!("../../sql/history_fingerprint.sql"),
            &[&publication, &relation, &settings],
        )
        .await
        .map_err(fault)?;
    let Some(row) = row else { return Ok(None) };
    let wal_end: PgLsn = row.try_get(2).map_err(fault)?;
    Ok(Some(Fingerprint {
        mark: row.try_get(0).map_err(fault)?,
        columns: row.try_get(1).map_err(fault)?,
        wal_end: Lsn(u64::from(wal_end)),
    }))
}

/// The statement that creates the publication over `tables`. Changes of partitions come as their
/// root's.
#[must_use]
pub fn create_sql(name: &str, tables: &[Table]) -> String {
    let mut sql = format!("create publication {}", quote(name));
    append_tables(&mut sql, " for table ", tables);
    sql.push_str(" with (publish_via_partition_root = true)");
    sql
}

/// The statement that adds `tables` to the publication.
#[must_use]
pub fn add_sql(name: &str, tables: &[Table]) -> String {
    let mut sql = format!("alter publication {}", quote(name));
    append_tables(&mut sql, " add table ", tables);
    sql
}

fn append_tables(sql: &mut String, keyword: &str, tables: &[Table]) {
    for (index, table) in tables.iter().enumerate() {
        // Without `only` tables that inherit from it would come along, captured or not. Writing to a
        // string cannot fail.
        let _ = write!(
            sql,
            "{}only {}",
            if index == 0 { keyword } else { ", " },
            table.quoted()
        );
    }
}

/// The statement that makes the stream carry the whole old row of a table.
#[must_use]
pub fn identity_full_sql(table: &Table) -> String {
    format!("alter table {} replica identity full", table.quoted())
}

/// A partition whose old rows are not carried whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackingPartition {
    /// `schema.table`.
    pub label: String,
    /// The statement that mends it.
    pub sql: String,
    /// Whether our role may run it.
    pub owned: bool,
}

/// Partitions of `tables` that hold rows and do not have REPLICA IDENTITY FULL.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn lacking_partitions(
    connection: &Connection,
    tables: &[u32],
) -> Result<Vec<LackingPartition>> {
    let fault = |error| sql_fault("cannot list partitions", error);
    let rows = connection
        .query_typed(
            include_str!("../../sql/identity_of_partitions.sql"),
            &[(&tables, Type::OID_ARRAY)],
        )
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| {
            Ok(LackingPartition {
                label: row.try_get(0).map_err(fault)?,
                sql: row.try_get(1).map_err(fault)?,
                owned: row.try_get(2).map_err(fault)?,
            })
        })
        .collect()
}
