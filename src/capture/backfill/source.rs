//! Reading a table of the source in chunks.

use std::fmt::Write as _;
use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use postgres_protocol::escape::escape_literal;

use super::handover::Rows;
use crate::decode::{Relation, RelationColumn};
use crate::fault::{Fault, Result};
use crate::wal::{Connection, publication::quote, server_error::sql_fault};

/// The prefix of our messages in the source's WAL.
pub(in crate::capture) const PREFIX: &str = "rowhook.backfill";

/// A table that is backfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) relation: Relation,
    partitioned: bool,
    /// Names of the primary key's columns.
    pub(super) key: Vec<String>,
    /// Their types, as SQL.
    key_types: Vec<String>,
    /// Schemas of the operators that order them, as SQL.
    operator_schemas: Vec<String>,
    pub(super) rows_expected: Option<i64>,
    pub(super) published: bool,
    /// Whether the publication leaves out rows or columns.
    pub(super) filtered: bool,
}

/// Rows that are read by one statement.
const STEP: usize = 64;

impl Table {
    pub(super) fn label(&self) -> String {
        format!("{}.{}", self.relation.schema, self.relation.name)
    }

    /// What a key of a row means: the table, and what orders it.
    pub(super) fn walks(&self) -> String {
        let columns = self.key.iter().zip(&self.key_types);
        let columns: Vec<String> = columns
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        format!("{} ({})", self.relation.oid, columns.join(", "))
    }

    fn quoted(&self) -> String {
        format!(
            "{}.{}",
            quote(&self.relation.schema),
            quote(&self.relation.name)
        )
    }

    /// The rows behind a key, in the key's order. Children of an inheritance tree are tables of
    /// their own; partitions are not.
    fn select(&self, after: Option<&[String]>, limit: usize) -> String {
        let names = |names: &mut dyn Iterator<Item = &String>| {
            names.map(|name| quote(name)).collect::<Vec<_>>().join(", ")
        };
        let columns = names(&mut self.relation.columns.iter().map(|column| &column.name));
        let key = names(&mut self.key.iter());
        let only = if self.partitioned { "" } else { "only " };
        let mut sql = format!("select {columns} from {only}{}", self.quoted());
        if let Some(after) = after {
            let values: Vec<String> = after
                .iter()
                .zip(&self.key_types)
                .map(|(value, kind)| format!("cast({} as {kind})", escape_literal(value)))
                .collect();
            // Writing to a string cannot fail.
            let _ = write!(sql, " where row({key}) > row({})", values.join(", "));
        }
        let _ = write!(sql, " order by {key} limit {limit}");
        sql
    }
}

/// Begins a transaction that reads all rows or fails, whatever policies are on the table.
pub(super) async fn begin(connection: &Connection) -> Result<()> {
    let sql = "begin isolation level repeatable read; set local row_security = off; \
               set local search_path = pg_catalog";
    connection
        .batch_execute(sql)
        .await
        .map_err(|error| sql_fault("cannot begin to read a chunk", error))
}

/// Keeps the table's definition as it is until the transaction ends. Comes before the snapshot: a
/// TRUNCATE or a rewrite in between would make the table look empty.
pub(super) async fn lock(connection: &Connection, table: &Table) -> Result<()> {
    let only = if table.partitioned { "" } else { "only " };
    let sql = format!("lock table {only}{} in access share mode", table.quoted());
    connection
        .batch_execute(&sql)
        .await
        .map_err(|error| sql_fault(format!("cannot read {}", table.label()), error))
}

/// Ends a transaction, however it stands.
pub(super) async fn rollback(connection: &Connection) {
    // If this fails the connection is gone, and the transaction with it.
    let _ = connection.batch_execute("rollback").await;
}

/// What the catalogs say of a table; `None` if there is none of that name.
pub(super) async fn describe(
    connection: &Connection,
    publication: &str,
    schema: &str,
    table: &str,
) -> Result<Option<Table>> {
    let fault = |error| sql_fault(format!("cannot look up table {schema}.{table}"), error);
    let row = connection
        .query_opt(
            include_str!("../../../sql/backfill_table.sql"),
            &[&schema, &table, &publication],
        )
        .await
        .map_err(fault)?;
    let Some(row) = row else { return Ok(None) };
    let (names, types): (Vec<String>, Vec<u32>) = (
        row.try_get(3).map_err(fault)?,
        row.try_get(4).map_err(fault)?,
    );
    let key: Vec<String> = row.try_get(5).map_err(fault)?;
    let columns = names
        .into_iter()
        .zip(types)
        .map(|(name, type_oid)| RelationColumn {
            in_identity: key.contains(&name),
            name,
            type_oid,
            type_modifier: -1,
        });
    Ok(Some(Table {
        relation: Relation {
            oid: row.try_get(0).map_err(fault)?,
            schema: schema.to_owned(),
            name: table.to_owned(),
            identity: b'd',
            columns: columns.collect(),
        },
        partitioned: row.try_get::<_, &str>(1).map_err(fault)? == "p",
        key,
        key_types: row.try_get(6).map_err(fault)?,
        operator_schemas: row.try_get(7).map_err(fault)?,
        rows_expected: row.try_get(8).map_err(fault)?,
        published: row.try_get(9).map_err(fault)?,
        filtered: row.try_get(10).map_err(fault)?,
    }))
}

/// A transaction that writes to the table: its name, and its process (0: it is prepared).
pub(super) type Writing = (String, i32);

/// The transactions that hold a lock for writing on the table now.
pub(super) async fn writers(connection: &Connection, relation: u32) -> Result<Vec<Writing>> {
    let fault = |error| sql_fault("cannot read who writes to a table", error);
    let rows = connection
        .query(
            include_str!("../../../sql/backfill_writers.sql"),
            &[&relation],
        )
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| {
            Ok((
                row.try_get(0).map_err(fault)?,
                row.try_get(1).map_err(fault)?,
            ))
        })
        .collect()
}

/// Writes a watermark into the source's WAL.
pub(super) async fn mark(connection: &Connection, mark: &str, chunk: &str) -> Result<()> {
    connection
        .execute(
            "select pg_catalog.pg_logical_emit_message(true, $1::text, $2::text)",
            &[&PREFIX, &format!("{mark} {chunk}")],
        )
        .await
        .map_err(|error| sql_fault("cannot write a watermark", error))?;
    Ok(())
}

/// Reads the rows behind a key, as inserts of the stream: so many at the most, and no more once there
/// are `most_bytes` of them. Also tells the bytes that came.
pub(super) async fn read(
    connection: &Connection,
    backfill: i64,
    table: &Table,
    after: Option<&[String]>,
    limit: usize,
    most_bytes: usize,
) -> Result<Option<(Rows, usize)>> {
    let fault = |error| sql_fault(format!("cannot read {}", table.label()), error);
    // Operators of types that an extension brought are found by their schema alone.
    let path = format!(
        "set local search_path = {}",
        std::iter::once("pg_catalog".to_owned())
            .chain(table.operator_schemas.iter().cloned())
            .collect::<Vec<_>>()
            .join(", ")
    );
    connection.batch_execute(&path).await.map_err(fault)?;
    let (mut messages, mut bytes) = (Vec::new(), 0);
    let mut last_key = None;
    // In steps: a statement that was begun sends all of its rows.
    while messages.len() < limit && bytes < most_bytes {
        let step = STEP.min(limit - messages.len());
        let from = last_key.as_deref().or(after);
        let copy = format!("copy ({}) to stdout", table.select(from, step));
        let mut lines = pin!(connection.copy_out(&copy).await.map_err(fault)?);
        let (mut last, before) = (None, messages.len());
        while let Some(line) = lines.try_next().await.map_err(fault)? {
            bytes += line.len();
            let fields = fields(&line);
            messages.push(insert(table.relation.oid, &fields));
            last = Some(fields);
        }
        if let Some(last) = last {
            last_key = Some(key_values(table, &last)?);
        }
        if messages.len() - before < step {
            break;
        }
    }
    let Some(last_key) = last_key else {
        return Ok(None);
    };
    let rows = Rows {
        backfill,
        after: after.map(<[String]>::to_vec),
        relation: table.relation.clone(),
        key: table.key.clone(),
        messages,
        last_key,
    };
    Ok(Some((rows, bytes)))
}

fn key_values(table: &Table, fields: &[Option<Vec<u8>>]) -> Result<Vec<String>> {
    let value = |name: &String| {
        let columns = &table.relation.columns;
        let place = columns.iter().position(|column| column.name == *name)?;
        String::from_utf8(fields.get(place)?.clone()?).ok()
    };
    let values: Option<Vec<String>> = table.key.iter().map(value).collect();
    values.ok_or_else(|| {
        Fault::permanent(format!(
            "a primary key of {} is no text in UTF-8, so the backfill cannot go on behind it",
            table.label()
        ))
    })
}

/// The columns of a line of COPY's text format (PostgreSQL manual, COPY, "Text Format").
fn fields(line: &[u8]) -> Vec<Option<Vec<u8>>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.split(|byte| *byte == b'\t').map(field).collect()
}

fn field(text: &[u8]) -> Option<Vec<u8>> {
    if text == b"\\N" {
        return None;
    }
    let mut value = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 0x08,
                Some(b'f') => 0x0c,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 0x0b,
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    Some(value)
}

/// A row as the stream would bring its insert (PostgreSQL manual, "Logical Replication Message
/// Formats"): from here on both go the same way.
fn insert(relation: u32, fields: &[Option<Vec<u8>>]) -> Bytes {
    let mut message = BytesMut::new();
    message.put_u8(b'I');
    message.put_u32(relation);
    message.put_u8(b'N');
    message.put_u16(u16::try_from(fields.len()).unwrap_or(u16::MAX));
    for field in fields {
        match field {
            Some(text) => {
                message.put_u8(b't');
                // A value is shorter than 1 GB.
                message.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
                message.put_slice(text);
            }
            None => message.put_u8(b'n'),
        }
    }
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_copy_becomes_its_values() {
        let line = b"1\t\\N\ta\\tb\\\\N\\n\\b\\f\\r\\v\t\n";
        let values: Vec<_> = fields(line)
            .into_iter()
            .map(|value| value.map(|text| String::from_utf8(text).unwrap()))
            .collect();
        assert_eq!(
            values,
            [
                Some("1".to_owned()),
                None,
                Some("a\tb\\N\n\u{8}\u{c}\r\u{b}".to_owned()),
                Some(String::new())
            ]
        );
    }

    #[test]
    fn rows_are_read_in_the_keys_order_from_behind_the_last_one() {
        let column = |name: &str| RelationColumn {
            in_identity: true,
            name: name.to_owned(),
            type_oid: 25,
            type_modifier: -1,
        };
        let table = Table {
            relation: Relation {
                oid: 1,
                schema: "public".into(),
                name: "Odd \"name\"".into(),
                identity: b'd',
                columns: vec![column("id"), column("a b")],
            },
            partitioned: false,
            key: vec!["id".into(), "a b".into()],
            key_types: vec!["integer".into(), "text".into()],
            operator_schemas: Vec::new(),
            rows_expected: None,
            published: true,
            filtered: false,
        };
        assert_eq!(
            table.select(Some(&["7".into(), "it's".into()]), 10),
            "select \"id\", \"a b\" from only \"public\".\"Odd \"\"name\"\"\" \
             where row(\"id\", \"a b\") > row(cast('7' as integer), cast('it''s' as text)) \
             order by \"id\", \"a b\" limit 10"
        );
    }
}
