//! Which tables are captured, and why others are not. Pure.

use std::collections::HashMap;

use crate::event::{Capture, resource_name};
use crate::fault::{Fault, Result};
use crate::wal::publication::{self, Table};
use crate::wal::{ReplicaIdentity, Source};

/// What a look at the source's tables gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Tables that are captured.
    pub captured: Vec<Table>,
    /// Tables that match and cannot be captured, with the reason.
    pub refused: Vec<Refusal>,
}

/// A table that matches and cannot be captured.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `schema.table`.
    pub table: String,
    /// Why not.
    pub reason: &'static str,
    /// What to do about it.
    pub fix: String,
    /// Whether the settings name it without a wildcard: then it is an error, not a remark.
    pub named: bool,
}

/// Sorts the source's tables by what the settings say of them. Pure.
///
/// # Errors
/// If two tables would give one resource name.
pub fn survey(tables: Vec<Table>, source: &Source, capture: &Capture) -> Result<Survey> {
    let mut survey = Survey::default();
    for table in tables {
        if !capture.includes(&table.schema, &table.name) {
            continue;
        }
        let named = capture.names(&table.schema, &table.name);
        if !named && is_no_news(&table) {
            continue;
        }
        match obstacle(&table, source, capture) {
            Some((reason, fix)) => survey.refused.push(Refusal {
                named,
                table: table.label(),
                reason,
                fix,
            }),
            None => survey.captured.push(table),
        }
    }
    distinct_names(&survey.captured, capture)?;
    Ok(survey)
}

/// What a wildcard matches beside the tables that it is meant for: nobody expects events of it. A
/// partition's changes come as its root's.
fn is_no_news(table: &Table) -> bool {
    table.partition || matches!(table.kind, 'v' | 'm') || table.persistence == 't'
}

/// Why something is no table whose changes are in the WAL.
fn no_table(table: &Table) -> Option<(&'static str, String)> {
    let other = |what: &str| format!("name {what} in capture.tables instead");
    match (table.kind, table.persistence) {
        _ if table.partition => Some((
            "it is a partition, and its changes come as those of the table that it is a part of",
            other("that table"),
        )),
        ('v', _) => Some((
            "it is a view, which has no rows of its own",
            other("the tables that it reads"),
        )),
        ('m', _) => Some((
            "it is a materialized view: a refresh is no change of rows",
            other("the tables that it reads"),
        )),
        ('f', _) => Some((
            "it is a foreign table, so its changes are in the WAL of another server, if at all",
            "run a rowhook for the server that holds it, or leave it out with \"!…\" in capture.tables".into(),
        )),
        (_, 't') => Some((
            "it is temporary, so its changes are not in the WAL",
            "leave it out of capture.tables".into(),
        )),
        _ if !table.nameable => Some((
            "its name holds bytes that are no UTF-8, so no statement of ours can name it",
            "rename the table".to_owned(),
        )),
        (_, 'u') => Some((
            "it is unlogged, so its changes are not in the WAL",
            format!("alter table {} set logged", table.quoted()),
        )),
        _ => None,
    }
}

fn obstacle(table: &Table, source: &Source, capture: &Capture) -> Option<(&'static str, String)> {
    let no_table = no_table(table);
    if no_table.is_some() {
        return no_table;
    }
    let quoted = table.quoted();
    let key_by_rule = capture
        .rule(&table.schema, &table.name)
        .is_some_and(|rule| rule.key.is_some());
    if table.primary_key.is_empty() && table.identity_key.is_empty() && !key_by_rule {
        return Some((
            "it has no primary key, so its rows have no resource id",
            format!(
                "alter table {quoted} add primary key (…), or name `key` columns in a [[resource]] for it"
            ),
        ));
    }
    // The server refuses updates and deletes of a published table that it cannot identify rows of.
    let identified = match table.identity {
        'f' | 'i' => true,
        'd' => !table.primary_key.is_empty(),
        _ => false,
    };
    if !identified && !wants_full(table, source, capture) {
        return Some((
            "it has no replica identity, so publishing it would make its updates and deletes fail",
            publication::identity_full_sql(table),
        ));
    }
    None
}

/// Whether a table's replica identity is to be made full: not where the log has its old rows.
#[must_use]
pub fn wants_full(table: &Table, source: &Source, capture: &Capture) -> bool {
    source.replica_identity == ReplicaIdentity::Full
        && table.identity != 'f'
        && !(table.kind == 'r' && capture.recalls(&table.schema, &table.name))
}

fn distinct_names(tables: &[Table], capture: &Capture) -> Result<()> {
    let mut seen: HashMap<String, &Table> = HashMap::new();
    for table in tables {
        let name = resource_name(
            &table.schema,
            &table.name,
            capture.rule(&table.schema, &table.name),
        );
        if let Some(other) = seen.insert(name.clone(), table) {
            return Err(Fault::settings(format!(
                "tables {}.{} and {}.{} would both be resource \"{name}\"",
                other.schema, other.name, table.schema, table.name
            ))
            .next_step("give one of them another `name` in a [[resource]]"));
        }
    }
    Ok(())
}

impl Survey {
    /// Primary keys of the captured tables.
    #[must_use]
    pub fn keys(&self) -> Vec<(u32, Vec<String>)> {
        let keyed = self
            .captured
            .iter()
            .filter(|table| !table.primary_key.is_empty());
        keyed
            .map(|table| (table.oid, table.primary_key.clone()))
            .collect()
    }

    /// Captured tables whose partitions are to carry whole old rows.
    #[must_use]
    pub fn roots(&self) -> Vec<u32> {
        let roots = self.captured.iter().filter(|table| table.kind == 'p');
        roots.map(|table| table.oid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ResourceRule, TableName, TablePattern};

    fn table(schema: &str, name: &str) -> Table {
        Table {
            oid: 1,
            schema: schema.into(),
            name: name.into(),
            kind: 'r',
            persistence: 'p',
            identity: 'd',
            partition: false,
            primary_key: vec!["id".into()],
            identity_key: Vec::new(),
            columns: vec!["id".into()],
            published: false,
            owned: true,
            nameable: true,
            dark_partitions: Vec::new(),
            membership: None,
            filtered: false,
        }
    }

    fn source(replica_identity: ReplicaIdentity) -> Source {
        Source {
            target: crate::wal::Target {
                host: "localhost".into(),
                port: 5432,
                user: "rowhook".into(),
                password: None,
                database: "shop".into(),
                tls: crate::wal::Tls::mode(crate::wal::TlsMode::Disable),
                connect_timeout: std::time::Duration::from_secs(10),
            },
            slot: "rowhook".into(),
            publication: "rowhook".into(),
            replica_identity,
            failover: crate::wal::Failover::Auto,
            streaming: crate::wal::Streaming::Off,
            wal_budget: 1,
            silence_timeout: std::time::Duration::from_secs(30),
            table_refresh: std::time::Duration::from_secs(5),
        }
    }

    #[test]
    fn a_table_is_never_published_so_that_the_application_cannot_write_to_it() {
        let rule = ResourceRule {
            key: Some(vec!["id".into()]),
            ..ResourceRule::of(TableName {
                schema: "public".into(),
                name: "posts".into(),
            })
        };
        let capture = everything(vec![rule]);
        let keyless = || Table {
            primary_key: Vec::new(),
            ..table("public", "posts")
        };
        let nothing = || Table {
            identity: 'n',
            ..table("public", "posts")
        };
        let refused = |table: Table, identity: ReplicaIdentity| {
            survey(vec![table], &source(identity), &capture)
                .unwrap()
                .refused
                .len()
        };
        assert_eq!(refused(keyless(), ReplicaIdentity::Full), 0);
        assert_eq!(refused(keyless(), ReplicaIdentity::Keep), 1);
        assert_eq!(refused(nothing(), ReplicaIdentity::Keep), 1);
        assert_eq!(refused(table("public", "posts"), ReplicaIdentity::Keep), 0);
    }

    fn everything(resources: Vec<ResourceRule>) -> Capture {
        let all = TablePattern {
            exclude: false,
            schema: "*".into(),
            table: "*".into(),
        };
        let named = TablePattern {
            exclude: false,
            schema: "public".into(),
            table: "named".into(),
        };
        Capture {
            tables: vec![all, named],
            resources,
        }
    }

    #[test]
    fn what_cannot_be_captured_is_refused_with_a_reason_and_a_fix() {
        let keyless = Table {
            primary_key: Vec::new(),
            ..table("public", "named")
        };
        let unlogged = Table {
            persistence: 'u',
            ..table("public", "scratch")
        };
        let part = Table {
            partition: true,
            ..table("public", "part")
        };
        let survey = survey(
            vec![table("public", "posts"), keyless, unlogged, part],
            &source(ReplicaIdentity::Full),
            &everything(Vec::new()),
        )
        .unwrap();
        assert_eq!(survey.captured.len(), 1);
        let refused: Vec<_> = survey
            .refused
            .iter()
            .map(|refusal| (refusal.table.as_str(), refusal.named))
            .collect();
        assert_eq!(refused, [("public.named", true), ("public.scratch", false)]);
    }

    #[test]
    fn two_tables_never_share_a_resource() {
        let rule = ResourceRule {
            name: Some("posts".into()),
            ..ResourceRule::of(TableName {
                schema: "sales".into(),
                name: "posts".into(),
            })
        };
        let tables = || vec![table("public", "posts"), table("sales", "posts")];
        assert!(
            survey(
                tables(),
                &source(ReplicaIdentity::Full),
                &everything(Vec::new())
            )
            .is_ok()
        );
        let fault = survey(
            tables(),
            &source(ReplicaIdentity::Full),
            &everything(vec![rule]),
        )
        .unwrap_err();
        assert_eq!(fault.exit_code(), 78);
        assert!(
            fault.cause().contains("public.posts and sales.posts"),
            "{fault}"
        );
    }
}
