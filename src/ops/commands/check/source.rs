//! The source: login, rights, server settings, slot, publication, tables.

use super::{Report, columns, context, lanes, resources, streaming};
use crate::capture::{continuity, survey};
use crate::event::{PreviousFrom, ResourceRule};
use crate::event_log::{Checkpoint, Published, migrate};
use crate::fault::Result;
use crate::ops::settings::Settings;
use crate::wal::publication::{self, Publication, Table};
use crate::wal::{Connection, GatedSession, ReplicaIdentity, server_error::sql_fault, slot};

pub(super) async fn look(settings: &Settings, report: &mut Report) {
    let source = &settings.source;
    let connection = match Connection::open(&source.target, "rowhook check").await {
        Ok(connection) => connection,
        Err(fault) => return report.fault("source", &fault),
    };
    report.good("source", format!("connected to {}", source.target.label()));
    replication(settings, report).await;
    let log = Connection::open(&settings.log.target, "rowhook check").await;
    let looks = [
        server(&connection, settings, report).await,
        slot_state(&connection, log.as_ref().ok(), settings, report).await,
        captured(&connection, log.as_ref().ok(), settings, report).await,
        context::look(&connection, report).await,
        streaming::look(&connection, settings, report).await,
    ];
    for fault in looks.into_iter().filter_map(Result::err) {
        report.fault("source", &fault);
    }
}

async fn server(connection: &Connection, settings: &Settings, report: &mut Report) -> Result<()> {
    let fault = |error| sql_fault("cannot read the server's settings", error);
    let row = connection
        .query_one(
            include_str!("../../../../sql/server_settings.sql"),
            &[&settings.source.slot],
        )
        .await
        .map_err(fault)?;
    let version: i32 = row.try_get(0).map_err(fault)?;
    let level: String = row.try_get(1).map_err(fault)?;
    let (free_slots, free_senders): (i64, i64) = (
        row.try_get(2).map_err(fault)?,
        row.try_get(3).map_err(fault)?,
    );
    let keep: i64 = row.try_get(4).map_err(fault)?;
    match version / 10_000 {
        major @ 14.. => report.good("server version", major.to_string()),
        major => report.bad(
            "server version",
            format!("{major} is not supported"),
            "PostgreSQL 14 or newer is needed",
        ),
    }
    match level.as_str() {
        "logical" => report.good("wal_level", "logical"),
        other => report.bad(
            "wal_level",
            format!("{other}; logical decoding needs logical"),
            "alter system set wal_level = logical; then restart the server",
        ),
    }
    if free_slots < 1 {
        report.bad(
            "max_replication_slots",
            "all slots are taken",
            "alter system set max_replication_slots = …; then restart the server",
        );
    }
    if free_senders < 1 {
        report.bad(
            "max_wal_senders",
            "all WAL senders are taken",
            "alter system set max_wal_senders = …; then restart the server",
        );
    }
    if keep < 0 {
        report.remark(
            "max_slot_wal_keep_size",
            "not limited: a slot that nobody reads from fills the disk",
            "alter system set max_slot_wal_keep_size = '…', above source.wal_budget; select pg_reload_conf()",
        );
    }
    Ok(())
}

/// Logs in as the daemon will.
async fn replication(settings: &Settings, report: &mut Report) {
    let identified = async { GatedSession::open(&settings.source).await?.identify().await };
    match identified.await {
        Ok(system) => report.good(
            "replication session",
            format!("system {}, timeline {}", system.identifier, system.timeline),
        ),
        Err(fault) => {
            let role = publication::quote(&settings.source.target.user);
            report.bad(
                "replication session",
                fault.cause(),
                format!("alter role {role} with replication; and see that pg_hba.conf lets it in"),
            );
        }
    }
}

async fn slot_state(
    connection: &Connection,
    log: Option<&Connection>,
    settings: &Settings,
    report: &mut Report,
) -> Result<()> {
    let about = format!("slot \"{}\"", settings.source.slot);
    let found = slot::Slot::look_up(connection, &settings.source.slot).await?;
    // A log that cannot be reached is told where the log is looked at.
    let Some(log) = log else { return Ok(()) };
    let known = Checkpoint::read(log)
        .await?
        .is_some_and(|checkpoint| !checkpoint.slot.is_empty());
    match (found, known) {
        (None, true) => report.bad(
            about,
            "it is gone, and the log was written from it: changes may be lost",
            "find out who dropped it; `rowhook setup --accept-gap` makes a new one and records the gap",
        ),
        (None, false) => report.bad(about, "it does not exist yet", "rowhook setup"),
        (Some(_), false) => report.bad(about, "it exists, but this log knows nothing of it", "choose another source.slot"),
        (Some(slot), true) => match (slot.loss(), slot.active_pid) {
            (Some(why), _) => report.bad(
                about,
                format!("it is lost: {why}"),
                "`rowhook setup --accept-gap` makes a new one and records the gap",
            ),
            (None, Some(pid)) => {
                report.good(&about, format!("in use by server process {pid}"));
                failover(&about, &slot, connection, settings, report).await?;
            }
            (None, None) => {
                let since = slot.inactive_since.as_deref();
                let since = since.map_or_else(String::new, |since| format!(", not read from since {since}"));
                report.good(&about, format!("ready{since}"));
                failover(&about, &slot, connection, settings, report).await?;
            }
        },
    }
    Ok(())
}

/// A slot that is not there after a promotion is a gap then.
async fn failover(
    about: &str,
    slot: &slot::Slot,
    connection: &Connection,
    settings: &Settings,
    report: &mut Report,
) -> Result<()> {
    let fault = |error| sql_fault("cannot read the server's version", error);
    let sql = "select current_setting('server_version_num')::integer";
    let row = connection.query_one(sql, &[]).await.map_err(fault)?;
    let wanted = settings
        .source
        .failover
        .wanted(row.try_get(0).map_err(fault)?);
    let about = format!("{about}, failover");
    match (wanted, slot.failover) {
        (Err(fault), _) => report.fault(about, &fault),
        (Ok(true), Some(true)) => report.good(about, "standbys may keep it in step"),
        (Ok(true), _) => report.remark(
            about,
            "it is not a failover slot: after a promotion it would be gone",
            format!(
                "stop the daemon, run `rowhook setup`, start it again; or, on a replication connection: {}",
                slot::failover_command(&settings.source.slot, true)
            ),
        ),
        (Ok(false), Some(true)) => report.remark(
            about,
            "it is a failover slot, and source.failover is \"off\"",
            "stop the daemon, run `rowhook setup`, start it again",
        ),
        (Ok(false), _) => {}
    }
    Ok(())
}

/// What somebody took out of the publication since the daemon, or setup, last looked.
async fn continuity(
    found: Option<&Publication>,
    tables: &[Table],
    log: &Connection,
    settings: &Settings,
    report: &mut Report,
) -> Result<()> {
    let name = &settings.source.publication;
    // After a teardown, and before the first setup, nobody counts on it.
    let counts = Checkpoint::read(log)
        .await?
        .is_some_and(|checkpoint| checkpoint.slot == settings.source.slot);
    if !counts || migrate::version(log).await? < Some(2) {
        return Ok(());
    }
    if let Some(noted) = Published::read(log).await?
        && let Some(broken) = continuity::broken(name, &noted, found, tables, &settings.capture)
    {
        report.fault(format!("publication \"{name}\""), &broken.fault());
    }
    Ok(())
}

async fn captured(
    connection: &Connection,
    log: Option<&Connection>,
    settings: &Settings,
    report: &mut Report,
) -> Result<()> {
    let name = &settings.source.publication;
    let about = format!("publication \"{name}\"");
    let found = publication::look_up(connection, name).await?;
    match &found {
        None => report.bad(&about, "it does not exist yet", "rowhook setup"),
        Some(found) if !found.complete => report.remark(
            &about,
            "it does not publish every kind of change",
            format!(
                "alter publication {} set (publish = 'insert, update, delete, truncate')",
                publication::quote(name)
            ),
        ),
        Some(found) if !found.via_root => report.remark(
            &about,
            "changes of partitions come under the partitions' own names",
            format!(
                "alter publication {} set (publish_via_partition_root = true)",
                publication::quote(name)
            ),
        ),
        Some(_) => report.good(&about, "ready"),
    }
    let tables = publication::tables(connection, name).await?;
    if let Some(log) = log {
        continuity(found.as_ref(), &tables, log, settings, report).await?;
    }
    let survey = match survey::survey(tables, &settings.source, &settings.capture) {
        Ok(survey) => survey,
        Err(fault) => {
            report.fault("capture.tables", &fault);
            return Ok(());
        }
    };
    for refusal in &survey.refused {
        let about = format!("table {}", refusal.table);
        if refusal.named {
            report.bad(
                about,
                format!("it cannot be captured: {}", refusal.reason),
                refusal.fix.clone(),
            );
        } else {
            report.remark(
                about,
                format!("it is not captured: {}", refusal.reason),
                refusal.fix.clone(),
            );
        }
    }
    if survey.captured.is_empty() {
        report.bad(
            "capture.tables",
            "no table matches",
            "change capture.tables, or create the tables",
        );
    } else {
        report.good(
            "capture.tables",
            format!("tables that match: {}", survey.captured.len()),
        );
    }
    let all_tables = found.as_ref().is_some_and(|found| found.all_tables);
    for table in &survey.captured {
        rules(table, settings, report);
        if found.is_some() {
            published(table, all_tables, settings, report);
        }
    }
    unmatched_rules(&survey.captured, settings, report);
    resources::look(connection, &survey.captured, settings, report).await?;
    columns::look(&survey.captured, settings, report);
    lanes::look(&survey.captured, settings, report);
    partitions(connection, &survey, settings, report).await
}

/// Partitions that do not do as their table does.
async fn partitions(
    connection: &Connection,
    survey: &survey::Survey,
    settings: &Settings,
    report: &mut Report,
) -> Result<()> {
    for table in &survey.captured {
        for partition in &table.dark_partitions {
            report.remark(
                format!("table {}", table.label()),
                format!("changes of its partition {partition} are not captured: it is foreign or unlogged"),
                format!("alter table {partition} set logged; nothing helps for a foreign table but a rowhook for its server"),
            );
        }
    }
    if settings.source.replica_identity == ReplicaIdentity::Keep {
        return Ok(());
    }
    for partition in publication::lacking_partitions(connection, &survey.roots()).await? {
        report.remark(
            format!("partition {}", partition.label),
            "its replica identity is not full: old values of its updates and deletes are not known",
            partition.sql,
        );
    }
    Ok(())
}

fn published(table: &Table, all_tables: bool, settings: &Settings, report: &mut Report) {
    let about = format!("table {}.{}", table.schema, table.name);
    if !table.published && !all_tables {
        let sql = publication::add_sql(&settings.source.publication, std::slice::from_ref(table));
        report.bad(
            &about,
            "it matches and is not in the publication",
            if table.owned {
                "rowhook setup".into()
            } else {
                sql
            },
        );
    }
    if table.filtered {
        report.remark(
            &about,
            "the publication has a row filter or a column list for it: what they leave out is not captured",
            format!(
                "alter publication {0} drop table {1}; alter publication {0} add table {1}; then, for what was left out \
                 so far, `rowhook setup --accept-gap`",
                publication::quote(&settings.source.publication),
                table.quoted()
            ),
        );
    }
    let wants_full = survey::wants_full(table, &settings.source, &settings.capture);
    match table.identity {
        'f' => {}
        'n' => report.bad(
            &about,
            "its replica identity is nothing: the server refuses updates and deletes of a published table without one",
            publication::identity_full_sql(table),
        ),
        _ if wants_full => report.remark(
            &about,
            "its replica identity is not full: old values of updates are not known",
            format!(
                "{}; or take them from the log with previous = \"log\" in a [[resource]]",
                publication::identity_full_sql(table)
            ),
        ),
        _ if !deletes_are_named(table, settings) => report.remark(
            &about,
            "its replica identity does not hold the key: a delete does not say which row it was",
            publication::identity_full_sql(table),
        ),
        _ => {}
    }
}

/// Whether the replica identity of a table carries the columns of its resource id.
fn deletes_are_named(table: &Table, settings: &Settings) -> bool {
    let rule = settings.capture.rule(&table.schema, &table.name);
    let key = rule.and_then(|rule| rule.key.as_ref());
    let carried = match table.identity {
        'i' => &table.identity_key,
        _ => &table.primary_key,
    };
    let key = key.unwrap_or(&table.primary_key);
    key.iter().all(|column| carried.contains(column))
}

/// Columns that the rules name have to exist.
fn rules(table: &Table, settings: &Settings, report: &mut Report) {
    let Some(rule) = settings.capture.rule(&table.schema, &table.name) else {
        return;
    };
    let redacted = rule.redact.iter().map(|(column, _)| column);
    let named = rule
        .key
        .iter()
        .flatten()
        .chain(&rule.exclude)
        .chain(redacted);
    for column in named.filter(|column| !table.columns.contains(column)) {
        report.bad(
            format!("[[resource]] for {}", rule.table),
            format!("table {} has no column \"{column}\"", rule.table),
            format!("one of: {}", table.columns.join(", ")),
        );
    }
    if rule.previous == PreviousFrom::Log && !is_recalled(table, rule) {
        report.remark(
            format!("[[resource]] for {}", rule.table),
            "previous = \"log\" has no effect: rows are in partitions, or the stream does not carry the old key, \
             because the key's columns are not a part of the replica identity",
            format!(
                "give the table an index over ({}) as its replica identity, or make that full",
                rule.key.iter().flatten().cloned().collect::<Vec<_>>().join(", ")
            ),
        );
    }
}

/// Whether old rows can be found in the log: by a key that the stream carries.
fn is_recalled(table: &Table, rule: &ResourceRule) -> bool {
    let carried = match table.identity {
        'f' => return true,
        _ if table.kind == 'p' => return false,
        'i' => &table.identity_key,
        _ => &table.primary_key,
    };
    let key = rule.key.as_ref().unwrap_or(&table.primary_key);
    key.iter().all(|column| carried.contains(column))
}

fn unmatched_rules(captured: &[Table], settings: &Settings, report: &mut Report) {
    for rule in &settings.capture.resources {
        let found = captured
            .iter()
            .any(|table| table.schema == rule.table.schema && table.name == rule.table.name);
        if !found {
            report.remark(
                format!("[[resource]] for {}", rule.table),
                "no captured table has this name",
                "correct `table`, or take it into capture.tables",
            );
        }
    }
}
