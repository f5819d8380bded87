//! What the source's catalogs say for people: columns, their types and comments, the labels of enums.

use tokio_postgres::{Error, Row};

use super::text::{Name, plain};
use super::{Connection, server_error::sql_fault};
use crate::fault::Result;

/// A type in its place: with the modifier and the dimensions that were declared there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// The type's object id.
    pub oid: u32,
    /// `typmod`: a length, or precision and scale; -1 where there is none.
    pub modifier: i32,
    /// How many dimensions an array was declared with. The server does not hold values to it.
    pub dimensions: i32,
}

/// A column as the stream carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedColumn {
    /// The table.
    pub relation: u32,
    /// Its name.
    pub name: String,
    /// Its type.
    pub declared: Declared,
    /// NOT NULL.
    pub not_null: bool,
    /// Whether a large value may be stored beside the row (TOAST).
    pub toasts: bool,
    /// The type as SQL writes it: `numeric(12,2)`.
    pub sql: String,
    /// The comment on it.
    pub comment: Option<String>,
    /// The comment on its table.
    pub table_comment: Option<String>,
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedType {
    /// Object id.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// The comment on it.
    pub comment: Option<String>,
    /// What it is made of.
    pub make: Make,
}

/// What a type is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Make {
    /// A domain over another type.
    Domain(Declared),
    /// An array of another type.
    Array(u32),
    /// A composite.
    Composite(Vec<DescribedAttribute>),
    /// An enum with its labels in order.
    Enum(Vec<String>),
    /// The extension type hstore.
    Hstore,
    /// Anything else.
    Other,
}

/// An attribute of a composite type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedAttribute {
    /// Its name.
    pub name: String,
    /// Its type.
    pub declared: Declared,
    /// The type as SQL writes it.
    pub sql: String,
}

/// The columns of `relations` that `publication` sends, in the tables' order.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn columns(
    connection: &Connection,
    relations: &[u32],
    publication: &str,
) -> Result<Vec<DescribedColumn>> {
    let fault = |error| sql_fault("cannot read the columns of the source's tables", error);
    let sql = include_str!("../../sql/described_columns.sql");
    let rows = connection.query(sql, &[&relations, &publication]).await;
    let columns = rows.map_err(fault)?;
    columns
        .iter()
        .map(|row| column(row).map_err(fault))
        .collect()
}

/// The types behind `oids`, and the types that those are made of.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn types(connection: &Connection, oids: &[u32]) -> Result<Vec<DescribedType>> {
    let fault = |error| sql_fault("cannot read the source's types", error);
    let sql = include_str!("../../sql/described_types.sql");
    let rows = connection.query(sql, &[&oids]).await.map_err(fault)?;
    rows.iter()
        .map(|row| described(row).map_err(fault))
        .collect()
}

fn text(row: &Row, index: usize) -> Result<String, Error> {
    row.try_get::<_, Name>(index).map(|name| name.text)
}

/// An empty comment is none.
fn comment(row: &Row, index: usize) -> Result<Option<String>, Error> {
    let comment: Option<Name> = row.try_get(index)?;
    Ok(comment
        .map(|name| name.text.trim().to_owned())
        .filter(|text| !text.is_empty()))
}

fn column(row: &Row) -> Result<DescribedColumn, Error> {
    Ok(DescribedColumn {
        relation: row.try_get(0)?,
        name: text(row, 1)?,
        declared: Declared {
            oid: row.try_get(2)?,
            modifier: row.try_get(3)?,
            dimensions: row.try_get(4)?,
        },
        not_null: row.try_get(5)?,
        toasts: row.try_get(6)?,
        sql: text(row, 7)?,
        comment: comment(row, 8)?,
        table_comment: comment(row, 9)?,
    })
}

fn described(row: &Row) -> Result<DescribedType, Error> {
    Ok(DescribedType {
        oid: row.try_get(0)?,
        schema: text(row, 1)?,
        name: text(row, 2)?,
        comment: comment(row, 3)?,
        make: make(row)?,
    })
}

fn make(row: &Row) -> Result<Make, Error> {
    let (base, element): (u32, u32) = (row.try_get(4)?, row.try_get(7)?);
    let labels: Option<Vec<Name>> = row.try_get(8)?;
    let names: Option<Vec<Name>> = row.try_get(10)?;
    Ok(match (labels, names) {
        _ if base != 0 => Make::Domain(Declared {
            oid: base,
            modifier: row.try_get(5)?,
            dimensions: row.try_get(6)?,
        }),
        _ if element != 0 => Make::Array(element),
        (Some(labels), _) => Make::Enum(plain(labels)),
        (_, Some(names)) => Make::Composite(attributes(row, plain(names))?),
        _ if row.try_get(9)? => Make::Hstore,
        _ => Make::Other,
    })
}

fn attributes(row: &Row, names: Vec<String>) -> Result<Vec<DescribedAttribute>, Error> {
    let oids: Vec<u32> = row.try_get(11)?;
    let modifiers: Vec<i32> = row.try_get(12)?;
    let dimensions: Vec<i32> = row.try_get(13)?;
    let sql: Vec<Name> = row.try_get(14)?;
    let declared = oids.into_iter().zip(modifiers).zip(dimensions);
    let attributes = names.into_iter().zip(declared).zip(plain(sql));
    Ok(attributes
        .map(
            |((name, ((oid, modifier), dimensions)), sql)| DescribedAttribute {
                name,
                declared: Declared {
                    oid,
                    modifier,
                    dimensions,
                },
                sql,
            },
        )
        .collect())
}
