//! What the stream does not say about a relation and the source's catalogs do: its key and the
//! nature of types that are not built in.

use super::text::{Name, plain};
use super::{Connection, server_error::sql_fault};
use crate::fault::Result;

/// A type that is not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeEntry {
    /// Object id.
    pub oid: u32,
    /// What it is made of.
    pub nature: Nature,
}

/// What a type is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nature {
    /// A domain over another type.
    Domain(u32),
    /// An array of another type, with the delimiter of its text form.
    Array(u32, u8),
    /// A composite of named attributes, each with its type.
    Composite(Vec<(String, u32)>),
    /// The extension type hstore.
    Hstore,
    /// Anything else; its text is its value.
    Other,
}

const TYPES: &str = include_str!("../../sql/source_types.sql");

/// The types behind `oids`, and the types that those are made of.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn types(connection: &Connection, oids: &[u32]) -> Result<Vec<TypeEntry>> {
    let what = "cannot read the source's types";
    let rows = connection
        .query(TYPES, &[&oids])
        .await
        .map_err(|error| sql_fault(what, error))?;
    rows.iter()
        .map(|row| read_type(row).map_err(|error| sql_fault(what, error)))
        .collect()
}

/// The source's time, in microseconds since 1970: what is read after it knows of every change that
/// was committed before it.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn clock(connection: &Connection) -> Result<i64> {
    let fault = |error| sql_fault("cannot read the source's clock", error);
    let row = connection.query_one("select pg_catalog.clock_timestamp()", &[]);
    let now: jiff::Timestamp = row.await.map_err(fault)?.try_get(0).map_err(fault)?;
    Ok(now.as_microsecond())
}

fn read_type(row: &tokio_postgres::Row) -> Result<TypeEntry, tokio_postgres::Error> {
    let oid: u32 = row.try_get(0)?;
    let (base, element): (u32, u32) = (row.try_get(1)?, row.try_get(2)?);
    let delimiter: String = row.try_get(3)?;
    let names: Option<Vec<Name>> = row.try_get(4)?;
    let types: Vec<u32> = row.try_get(5)?;
    let hstore: bool = row.try_get(6)?;
    let delimiter = delimiter.bytes().next().unwrap_or(b',');
    let attributes = names.map(|names| plain(names).into_iter().zip(types).collect());
    Ok(TypeEntry {
        oid,
        nature: Nature::of(base, (element, delimiter), attributes, hstore),
    })
}

impl Nature {
    /// What the catalogs say, where no object has id 0.
    pub(crate) fn of(
        base: u32,
        (element, delimiter): (u32, u8),
        attributes: Option<Vec<(String, u32)>>,
        hstore: bool,
    ) -> Self {
        match attributes {
            _ if base != 0 => Self::Domain(base),
            _ if element != 0 => Self::Array(element, delimiter),
            Some(attributes) => Self::Composite(attributes),
            None if hstore => Self::Hstore,
            None => Self::Other,
        }
    }
}

/// What identifies the rows of a relation, by today's catalogs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowIdentity {
    /// Columns of the primary key, in its order; empty where there is none.
    pub primary_key: Vec<String>,
    /// The transaction that made the primary key, or changed its entry since.
    pub made_by: Option<u32>,
    /// Whether rows are in partitions.
    pub partitioned: bool,
    /// Columns by which any of the partitions may identify rows.
    pub part_columns: Vec<String>,
    /// Columns of which the server may send null in place of a default that older rows do not hold.
    pub lost_defaults: Vec<String>,
}

/// Asks what identifies the rows of a relation; `None` where it is gone.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn row_identity(connection: &Connection, relation: u32) -> Result<Option<RowIdentity>> {
    let what = "cannot read a table's primary key";
    let row = async {
        let sql = connection
            .prepared(include_str!("../../sql/source_key.sql"))
            .await?;
        connection.query_opt(&sql, &[&relation]).await
    };
    let row = row.await.map_err(|error| sql_fault(what, error))?;
    let read = |row: tokio_postgres::Row| -> Result<RowIdentity, tokio_postgres::Error> {
        Ok(RowIdentity {
            primary_key: plain(row.try_get(0)?),
            made_by: row
                .try_get::<_, Option<i64>>(1)?
                .and_then(|xid| u32::try_from(xid).ok()),
            partitioned: row.try_get(2)?,
            part_columns: plain(row.try_get(3)?),
            lost_defaults: plain(row.try_get(4)?),
        })
    };
    row.map(read)
        .transpose()
        .map_err(|error| sql_fault(what, error))
}

/// The foreign keys of a relation by today's catalogs: their columns.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn foreign_keys(connection: &Connection, relation: u32) -> Result<Vec<Vec<String>>> {
    let fault = |error| sql_fault("cannot read a table's foreign keys", error);
    let sql = include_str!("../../sql/source_references.sql");
    let sql = connection.prepared(sql).await.map_err(fault)?;
    let rows = connection.query(&sql, &[&relation]).await.map_err(fault)?;
    rows.iter()
        .map(|row| Ok(plain(row.try_get(0).map_err(fault)?)))
        .collect()
}

/// A column, by today's catalogs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether its values may be JSON objects.
    pub is_document: bool,
    /// Whether null may stand in it.
    pub nullable: bool,
}

/// The columns of a relation, in its order.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn columns(connection: &Connection, relation: u32) -> Result<Vec<Column>> {
    let fault = |error| sql_fault("cannot read a table's columns", error);
    let rows = connection
        .query(include_str!("../../sql/source_columns.sql"), &[&relation])
        .await
        .map_err(fault)?;
    let read = |row: &tokio_postgres::Row| -> Result<Column, tokio_postgres::Error> {
        Ok(Column {
            name: row.try_get::<_, Name>(0)?.text,
            is_document: row.try_get(1)?,
            nullable: row.try_get(2)?,
        })
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(fault)
}
