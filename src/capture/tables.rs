//! Which tables are captured, and keeping the publication in step with them.

use std::collections::HashMap;

use super::continuity::{self, Break};
use crate::event::{Capture, resource_name};
use crate::event_log::Published;
use crate::fault::{Fault, Result};
use crate::wal::publication::{self, Table};
use crate::wal::{Connection, ReplicaIdentity, Source, server_error::sql_fault};

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
    // A partition's changes are published as its root's.
    for table in tables.into_iter().filter(|table| !table.partition) {
        if !capture.includes(&table.schema, &table.name) {
            continue;
        }
        match obstacle(&table, source, capture) {
            Some((reason, fix)) => survey.refused.push(Refusal {
                named: capture.names(&table.schema, &table.name),
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

fn obstacle(table: &Table, source: &Source, capture: &Capture) -> Option<(&'static str, String)> {
    let quoted = table.quoted();
    if table.persistence != 'p' {
        return Some((
            "it is unlogged or temporary, so its changes are not in the WAL",
            format!("alter table {quoted} set logged"),
        ));
    }
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
    if !identified && source.replica_identity == ReplicaIdentity::Keep {
        return Some((
            "it has no replica identity, so publishing it would make its updates and deletes fail",
            publication::identity_full_sql(table),
        ));
    }
    None
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

/// What a look at the publication gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// It has carried every change, and does now.
    Whole(Refreshed),
    /// Changes may be missing.
    Broken(Break),
}

/// What a refresh changed, and what it could not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Tables that joined the publication now.
    pub joined: Vec<String>,
    /// Tables that match and belong to another role, which has to add them.
    pub foreign: Vec<String>,
}

/// Sees whether the publication has carried every change since the last look, adds tables that match
/// and are not published yet, sets their replica identity, and notes what it holds now.
///
/// # Errors
/// By the server's SQLSTATE; settings, if a new table makes resource names ambiguous.
pub async fn refresh(
    connection: &Connection,
    log: &Connection,
    source: &Source,
    capture: &Capture,
) -> Result<Look> {
    let name = &source.publication;
    let noted = Published::read(log).await?;
    let found = publication::look_up(connection, name).await?;
    let tables = publication::tables(connection, name).await?;
    let broken = noted
        .as_ref()
        .and_then(|noted| continuity::broken(name, noted, found.as_ref(), &tables, capture));
    if let Some(broken) = broken {
        return Ok(Look::Broken(broken));
    }
    let Some(found) = found else {
        return Ok(Look::Broken(Break::dropped(name)));
    };
    let now = continuity::noted(&found, &tables, capture);
    if noted.is_none_or(|noted| noted != now) {
        now.note(log).await?;
    }
    let mut refreshed = Refreshed::default();
    if found.all_tables {
        return Ok(Look::Whole(refreshed));
    }
    let survey = survey(tables, source, capture)?;
    for table in survey.captured.into_iter().filter(|table| !table.published) {
        let label = table.label();
        if !table.owned {
            refreshed.foreign.push(label);
            continue;
        }
        if source.replica_identity == ReplicaIdentity::Full && table.identity != 'f' {
            set_identity(connection, &table).await?;
        }
        connection
            .batch_execute(&publication::add_sql(name, std::slice::from_ref(&table)))
            .await
            .map_err(|error| {
                sql_fault(
                    format!("cannot add {label} to publication \"{name}\""),
                    error,
                )
            })?;
        refreshed.joined.push(label);
    }
    if !refreshed.joined.is_empty() {
        note(connection, log, source, capture).await?;
    }
    Ok(Look::Whole(refreshed))
}

/// Notes what the publication holds now: from here on, whatever is taken out of it is noticed.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note(
    connection: &Connection,
    log: &Connection,
    source: &Source,
    capture: &Capture,
) -> Result<()> {
    let name = &source.publication;
    let Some(found) = publication::look_up(connection, name).await? else {
        return Ok(());
    };
    let tables = publication::tables(connection, name).await?;
    continuity::noted(&found, &tables, capture).note(log).await
}

/// Makes the stream carry whole old rows; of a partitioned table, those of its partitions. Takes a
/// short exclusive lock; waits for it at most two seconds, because everything else would queue
/// behind that wait.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn set_identity(connection: &Connection, table: &Table) -> Result<()> {
    let fault = |error| {
        sql_fault(
            format!("cannot set the replica identity of {}", table.label()),
            error,
        )
        .next_step("run it again when the table is less busy: it needs a short exclusive lock")
    };
    let partitions = connection
        .query(
            include_str!("../../sql/identity_of_partitions.sql"),
            &[&table.oid],
        )
        .await
        .map_err(fault)?;
    let mut statements = vec![publication::identity_full_sql(table)];
    for row in partitions {
        statements.push(row.try_get(0).map_err(fault)?);
    }
    let sql = format!(
        "begin; set local lock_timeout = '2s'; {}; commit",
        statements.join("; ")
    );
    let done = connection.batch_execute(&sql).await;
    if done.is_err() {
        // The failed transaction is still open; if this fails too, the connection is gone.
        let _ = connection.batch_execute("rollback").await;
    }
    done.map_err(fault)
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
            wal_budget: 1,
            silence_timeout: std::time::Duration::from_secs(30),
            table_refresh: std::time::Duration::from_secs(5),
        }
    }

    #[test]
    fn a_table_is_never_published_so_that_the_application_cannot_write_to_it() {
        let rule = ResourceRule {
            table: TableName {
                schema: "public".into(),
                name: "posts".into(),
            },
            name: None,
            key: Some(vec!["id".into()]),
            exclude: Vec::new(),
            redact: Vec::new(),
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
            table: TableName {
                schema: "sales".into(),
                name: "posts".into(),
            },
            name: Some("posts".into()),
            key: None,
            exclude: Vec::new(),
            redact: Vec::new(),
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
