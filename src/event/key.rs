//! Which columns name a row. Pure.
//!
//! Under REPLICA IDENTITY FULL nothing in the stream says which columns were the primary key when a
//! row was written, and the catalogs only know today's. So keys are noted as they are seen, and a
//! relation's rows are read by the key of their time, as far as that can be told.

use super::ResourceRule;
use crate::decode::Relation;

/// What is known of a relation's primary key beside the stream.
#[derive(Debug, Clone, Default)]
pub struct KnownKeys {
    /// Today's, in its order; empty where there is none or the relation is gone.
    pub today: Vec<String>,
    /// The transaction that made today's.
    pub made_by: Option<u32>,
    /// Those that were seen, in any order.
    pub noted: Vec<NotedKey>,
}

/// A key that a relation was seen to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedKey {
    /// Its columns, in its order.
    pub columns: Vec<String>,
    /// When it was seen first, microseconds since 1970-01-01 UTC.
    pub noted_at: i64,
}

/// The transaction whose rows are to be read.
#[derive(Debug, Clone, Copy)]
pub struct RowsOf {
    /// Its id.
    pub xid: u32,
    /// When it was committed, microseconds since 1970-01-01 UTC.
    pub committed_at: i64,
}

/// Whether transaction `xid` began before transaction `other`: ids go round.
fn began_before(xid: u32, other: u32) -> bool {
    xid.wrapping_sub(other) > u32::MAX / 2
}

/// The columns that name the rows of `relation` as `rows` wrote them; empty where nothing says.
///
/// The rule decides where there is one. The default replica identity is the primary key of that
/// very time. Else it is today's key, or one noted earlier where today's does not fit the relation or
/// was made by a later transaction. A transaction that began before the one that changed the key,
/// and wrote to the table after it, is taken for an earlier one: it is read by the earlier key,
/// where both fit.
#[must_use]
pub fn key_of(
    relation: &Relation,
    rule: Option<&ResourceRule>,
    known: &KnownKeys,
    rows: RowsOf,
) -> Vec<String> {
    let fits = |key: &[String]| {
        let has = |name: &String| relation.columns.iter().any(|column| column.name == *name);
        !key.is_empty() && key.iter().all(has)
    };
    if let Some(key) = rule.and_then(|rule| rule.key.as_deref())
        && fits(key)
    {
        return key.to_vec();
    }
    let identity = identity_columns(relation);
    let is_key_of_its_time =
        |key: &[String]| relation.identity != b'd' || identity.is_empty() || same(key, &identity);
    candidates(known, rows)
        .into_iter()
        .find(|key| fits(key) && is_key_of_its_time(key))
        .map_or(identity, <[String]>::to_vec)
}

/// Every known key, the likeliest first.
fn candidates(known: &KnownKeys, rows: RowsOf) -> Vec<&[String]> {
    let mut noted: Vec<&NotedKey> = known.noted.iter().collect();
    // The last one before the rows were committed, then those before it, then the later ones.
    noted.sort_by_key(|note| {
        let distance = note.noted_at.abs_diff(rows.committed_at);
        (note.noted_at > rows.committed_at, distance)
    });
    let mut keys: Vec<&[String]> = noted.iter().map(|note| note.columns.as_slice()).collect();
    let is_later = known
        .made_by
        .is_some_and(|made_by| began_before(rows.xid, made_by));
    let place = if is_later { keys.len() } else { 0 };
    keys.insert(place, &known.today);
    keys
}

/// The replica identity's columns, in the table's order. Under FULL every column is marked, which
/// is no key.
fn identity_columns(relation: &Relation) -> Vec<String> {
    let marked = relation.columns.iter().filter(|column| column.in_identity);
    match relation.identity {
        b'f' => Vec::new(),
        _ => marked.map(|column| column.name.clone()).collect(),
    }
}

fn same(key: &[String], columns: &[String]) -> bool {
    key.len() == columns.len() && key.iter().all(|name| columns.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::RelationColumn;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// A leading `*` puts a column into the replica identity.
    fn relation(identity: u8, columns: &str) -> Relation {
        let column = |spec: &str| RelationColumn {
            in_identity: identity == b'f' || spec.starts_with('*'),
            name: spec.trim_start_matches('*').to_owned(),
            type_oid: 25,
            type_modifier: -1,
        };
        Relation {
            oid: 1,
            schema: "public".into(),
            name: "t".into(),
            identity,
            columns: columns.split_whitespace().map(column).collect(),
        }
    }

    fn known(today: &str, made_by: u32, noted: &[(&str, i64)]) -> KnownKeys {
        KnownKeys {
            today: names(today),
            made_by: Some(made_by),
            noted: noted
                .iter()
                .map(|(columns, noted_at)| NotedKey {
                    columns: names(columns),
                    noted_at: *noted_at,
                })
                .collect(),
        }
    }

    #[test]
    fn rows_are_read_by_the_key_of_their_time() {
        let rows = |xid, committed_at| RowsOf { xid, committed_at };
        let renamed = known("no", 50, &[("id", 10), ("no", 60)]);
        let widened = known("tenant id", 50, &[("id", 10), ("tenant id", 60)]);
        let touched = known("id", 50, &[("id", 10), ("old", 5)]);
        let gone = known("", 0, &[("b a", 10), ("a", 5)]);
        for (why, relation, known, rows, key) in [
            (
                "today's fits",
                relation(b'f', "id no"),
                &renamed,
                rows(50, 55),
                "no",
            ),
            (
                "it does not",
                relation(b'f', "id v"),
                &renamed,
                rows(40, 45),
                "id",
            ),
            (
                "nothing does",
                relation(b'f', "x v"),
                &renamed,
                rows(40, 45),
                "",
            ),
            (
                "before the change",
                relation(b'f', "tenant id"),
                &widened,
                rows(49, 45),
                "id",
            ),
            (
                "after it",
                relation(b'f', "tenant id"),
                &widened,
                rows(51, 55),
                "tenant id",
            ),
            (
                "ids went round",
                relation(b'f', "tenant id"),
                &widened,
                rows(u32::MAX, 45),
                "id",
            ),
            (
                "its entry was touched",
                relation(b'f', "old id"),
                &touched,
                rows(49, 45),
                "id",
            ),
            (
                "the table is gone",
                relation(b'f', "a b"),
                &gone,
                rows(49, 45),
                "b a",
            ),
            (
                "and was older",
                relation(b'f', "a b"),
                &gone,
                rows(49, 7),
                "a",
            ),
            (
                "the stream says it",
                relation(b'd', "*tenant *id v"),
                &widened,
                rows(49, 45),
                "tenant id",
            ),
            (
                "and so before",
                relation(b'd', "tenant *id v"),
                &widened,
                rows(51, 55),
                "id",
            ),
            (
                "in the key's order",
                relation(b'd', "*a *b"),
                &gone,
                rows(49, 45),
                "b a",
            ),
            (
                "by itself",
                relation(b'd', "*x *y"),
                &gone,
                rows(49, 45),
                "x y",
            ),
            (
                "an index is no key",
                relation(b'i', "id *email"),
                &renamed,
                rows(40, 45),
                "id",
            ),
            (
                "but better than none",
                relation(b'i', "x *email"),
                &renamed,
                rows(40, 45),
                "email",
            ),
        ] {
            assert_eq!(key_of(&relation, None, known, rows), names(key), "{why}");
        }
    }

    #[test]
    fn a_rule_decides_where_its_columns_are_there() {
        let rule = ResourceRule {
            key: Some(names("email")),
            ..ResourceRule::of(crate::event::TableName {
                schema: "public".into(),
                name: "t".into(),
            })
        };
        let known = known("id", 1, &[]);
        let rows = RowsOf {
            xid: 2,
            committed_at: 0,
        };
        let key = |columns| key_of(&relation(b'd', columns), Some(&rule), &known, rows);
        assert_eq!(key("*id email"), names("email"));
        assert_eq!(key("*id v"), names("id"));
    }
}
