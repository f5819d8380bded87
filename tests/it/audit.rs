//! What really happened, by the database's own account: triggers write every row change to
//! `audit.changes`, and the log has to tell the same story.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use tokio_postgres::Client;

/// How many differences a failed comparison spells out.
const MOST_DIFFERENCES: usize = 20;

const SCHEMA: &str = "
    create schema audit;
    create table audit.changes (
        seq bigserial primary key,
        txid bigint not null default txid_current(),
        table_name text not null,
        op text not null,
        old jsonb,
        new jsonb
    );
    create function audit.note() returns trigger language plpgsql
        set timezone = 'UTC' set intervalstyle = 'postgres' set bytea_output = 'hex' as $$
    begin
        insert into audit.changes (table_name, op, old, new) values (
            tg_table_schema || '.' || tg_table_name,
            case tg_op when 'INSERT' then 'created' when 'UPDATE' then 'updated'
                       else 'deleted' end,
            case when tg_op <> 'INSERT' then to_jsonb(old) end,
            case when tg_op <> 'DELETE' then to_jsonb(new) end);
        return null;
    end $$;";

/// A table under audit: its full name and the columns of its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Audited {
    pub(crate) table: &'static str,
    pub(crate) key: &'static [&'static str],
}

/// One row change, from either side. Rows are `jsonb` as text, which is canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) table: String,
    pub(crate) action: String,
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
}

/// Puts the triggers on the tables.
pub(crate) async fn install(client: &Client, tables: &[Audited]) {
    client.batch_execute(SCHEMA).await.unwrap();
    for Audited { table, .. } in tables {
        let trigger = format!(
            "create trigger audit after insert or update or delete on {table}
             for each row execute function audit.note()"
        );
        client.batch_execute(&trigger).await.unwrap();
    }
}

/// How many changes were committed.
pub(crate) async fn count(client: &Client) -> i64 {
    let row = client.query_one("select count(*) from audit.changes", &[]);
    row.await.unwrap().get(0)
}

/// The changes by the triggers' account. A trigger runs while its transaction holds the row, so for
/// one row the order of `seq` is the order of the commits.
pub(crate) async fn changes(client: &Client) -> Vec<Change> {
    let query = "
        select table_name, op, old::text, new::text from audit.changes order by seq";
    read(client, query).await
}

/// The changes by the log's account: the old row is the record with the previous values over it.
pub(crate) async fn logged(client: &Client) -> Vec<Change> {
    let query = "
        select table_schema || '.' || table_name, action,
               case action
                   when 'updated' then (record::jsonb || coalesce(previous::jsonb, '{}'))::text
                   when 'deleted' then record::jsonb::text
               end,
               case when action <> 'deleted' then record::jsonb::text end
          from rowhook.events
         where action in ('created', 'updated', 'deleted')
         order by sequence_id";
    read(client, query).await
}

async fn read(client: &Client, query: &str) -> Vec<Change> {
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter()
        .map(|row| Change {
            table: row.get(0),
            action: row.get(1),
            old: row.get(2),
            new: row.get(3),
        })
        .collect()
}

/// Compares change by change, row by row: the same changes of each row in the same order, with the
/// same old and new values.
///
/// # Errors
/// A readable difference.
pub(crate) fn compare(
    tables: &[Audited],
    audited: Vec<Change>,
    logged: Vec<Change>,
) -> Result<(), String> {
    let mut differences = Vec::new();
    if audited.len() != logged.len() {
        differences.push(format!(
            "{} changes happened, {} were logged",
            audited.len(),
            logged.len()
        ));
    }
    let audited = by_row(tables, audited);
    let mut logged = by_row(tables, logged);
    for (row, happened) in &audited {
        let told = logged.remove(row).unwrap_or_default();
        let longest = happened.len().max(told.len());
        let unequal = (0..longest).find(|&at| happened.get(at) != told.get(at));
        if let Some(at) = unequal {
            differences.push(describe(row, at, happened, &told));
        }
    }
    for (row, told) in &logged {
        differences.push(describe(row, 0, &[], told));
    }
    if differences.is_empty() {
        return Ok(());
    }
    let count = differences.len();
    differences.truncate(MOST_DIFFERENCES);
    Err(format!("{count} differences\n{}", differences.join("\n")))
}

/// A row is known by its table and key after the change, or before it where there is no after.
type RowKey = (String, String);

fn by_row(tables: &[Audited], changes: Vec<Change>) -> BTreeMap<RowKey, Vec<Change>> {
    let mut rows: BTreeMap<RowKey, Vec<Change>> = BTreeMap::new();
    for change in changes {
        let key = key_of(tables, &change);
        let row = (change.table.clone(), key);
        rows.entry(row).or_default().push(change);
    }
    rows
}

fn key_of(tables: &[Audited], change: &Change) -> String {
    let Some(table) = tables.iter().find(|known| known.table == change.table) else {
        return "(a table that is not audited)".into();
    };
    let row = change.new.as_deref().or(change.old.as_deref());
    let row: Value = serde_json::from_str(row.unwrap_or("null")).unwrap_or_default();
    let values = table.key.iter().map(|column| row[column].to_string());
    values.collect::<Vec<_>>().join(",")
}

fn describe(row: &RowKey, at: usize, happened: &[Change], told: &[Change]) -> String {
    let (table, key) = row;
    let mut text = format!(
        "{table} {key}: {} changes happened, {} logged; first difference at change {at}\n",
        happened.len(),
        told.len()
    );
    for (who, change) in [("happened", happened.get(at)), ("logged", told.get(at))] {
        let _ = match change {
            Some(change) => writeln!(
                text,
                "  {who}: {}\n    old {}\n    new {}",
                change.action,
                change.old.as_deref().unwrap_or("-"),
                change.new.as_deref().unwrap_or("-"),
            ),
            None => writeln!(text, "  {who}: nothing"),
        };
    }
    text
}

/// Compares the log with the audit, both in the database of `client`; panics with the difference.
pub(crate) async fn assert_log_equals_audit(client: &Client, tables: &[Audited]) {
    let (audited, logged) = (changes(client).await, logged(client).await);
    if let Err(difference) = compare(tables, audited, logged) {
        panic!("the log is not what happened: {difference}");
    }
}
