//! `rowhook setup`: the log's schema, the publication, and the slot, in this order. A slot decodes
//! with the catalogs of its time, so the publication has to be there before it.

use super::print;
use crate::capture::histories;
use crate::capture::tables::{self, Survey};
use crate::event::Capture;
use crate::event_log::{Checkpoint, encoding, gap, keys, migrate};
use crate::fault::{Fault, Result};
use crate::ops::cli::Setup;
use crate::ops::settings::Settings;
use crate::wal::publication::{self, LackingPartition, Publication, Table};
use crate::wal::{
    Connection, GatedSession, ReplicaIdentity, System, server_error::sql_fault, slot,
};

/// Sets everything up. May be run again at any time; what is there already stays.
///
/// # Errors
/// What could not be made, and which right is missing.
pub async fn setup(settings: &Settings, options: Setup) -> Result<()> {
    let source = &settings.source;
    let connection = Connection::open(&source.target, "rowhook setup").await?;
    let survey = tables::survey(
        publication::tables(&connection, &source.publication).await?,
        &settings.source,
        &settings.capture,
    )?;
    if options.print_sql {
        let found = publication::look_up(&connection, &source.publication).await?;
        let partitions =
            publication::lacking_partitions(&connection, &survey.roots(&settings.capture)).await?;
        return print::text(&script(settings, &survey, &partitions, found));
    }
    remark_refused(&survey)?;
    wal_level_is_logical(&connection).await?;
    let mut session = GatedSession::open(source).await?;
    let system = session.identify().await?;
    drop(session);
    let log = Connection::open(&settings.log.target, "rowhook setup").await?;
    encoding::fits(&connection, &log).await?;
    migrate::migrate(&log).await?;
    print::line("log schema: ready")?;
    if !options.accept_gap {
        publication_is_not_lost(&connection, &log, settings).await?;
    }
    publish(&connection, settings, &survey).await?;
    for (relation, key) in survey.keys() {
        keys::note(&log, relation, &key).await?;
    }
    make_slot(&connection, &log, settings, &system, options.accept_gap).await?;
    let publication = &source.publication;
    histories::note_published(&connection, &log, publication, &settings.capture).await?;
    Ok(())
}

/// Tables that cannot be captured: those that are named one by one stop the setup.
fn remark_refused(survey: &Survey) -> Result<()> {
    for refusal in &survey.refused {
        if refusal.named {
            return Err(Fault::settings(format!(
                "capture.tables names {}, which cannot be captured: {}",
                refusal.table, refusal.reason
            ))
            .next_step(refusal.fix.clone()));
        }
        print::line(format!(
            "table {}: not captured, {} (fix: {})",
            refusal.table, refusal.reason, refusal.fix
        ))?;
    }
    Ok(())
}

async fn wal_level_is_logical(connection: &Connection) -> Result<()> {
    let fault = |error| sql_fault("cannot read wal_level", error);
    let row = connection
        .query_one("select current_setting('wal_level')", &[])
        .await
        .map_err(fault)?;
    let level: String = row.try_get(0).map_err(fault)?;
    if level == "logical" {
        return Ok(());
    }
    Err(Fault::permanent(format!(
        "the source has wal_level = {level}; logical decoding needs wal_level = logical"
    ))
    .next_step("alter system set wal_level = logical; then restart the source's server"))
}

/// A slot decodes with the catalogs of each change's time. Where the publication was missing, the
/// server cannot go on (or, from some version on, leaves the changes out).
async fn publication_is_not_lost(
    connection: &Connection,
    log: &Connection,
    settings: &Settings,
) -> Result<()> {
    let (slot, publication) = (&settings.source.slot, &settings.source.publication);
    let was_set_up = Checkpoint::read(log)
        .await?
        .is_some_and(|checkpoint| checkpoint.slot == *slot);
    if !was_set_up
        || publication::look_up(connection, publication)
            .await?
            .is_some()
    {
        return Ok(());
    }
    Err(Fault::permanent(format!(
        "publication \"{publication}\" existed and is gone; slot \"{slot}\" cannot carry what was committed after that"
    ))
    .next_step("run `rowhook setup --accept-gap` to make both anew and record the gap as an event"))
}

async fn publish(connection: &Connection, settings: &Settings, survey: &Survey) -> Result<()> {
    let name = &settings.source.publication;
    let found = publication::look_up(connection, name).await?;
    let (ours, foreign): (Vec<&Table>, Vec<&Table>) =
        survey.captured.iter().partition(|table| table.owned);
    let wants_full =
        |table: &&Table| tables::wants_full(table, &settings.source, &settings.capture);
    for table in ours.into_iter().filter(wants_full) {
        tables::set_identity(connection, table).await?;
        print::line(format!("table {}: replica identity full", table.label()))?;
    }
    if settings.source.replica_identity == ReplicaIdentity::Full {
        identify_partitions(connection, survey, &settings.capture).await?;
    }
    for table in foreign {
        print::line(format!(
            "table {}: another role owns it; `rowhook setup --print-sql` prints what it has to run",
            table.label()
        ))?;
    }
    if let Some(sql) = publication_sql(name, found, survey, |table| table.owned) {
        let what = || format!("cannot change publication \"{name}\"");
        connection
            .batch_execute(&sql)
            .await
            .map_err(|error| sql_fault(what(), error))?;
    }
    print::line(format!("publication \"{name}\": ready"))
}

/// Partitions that were added since: they do not take their root's replica identity.
async fn identify_partitions(
    connection: &Connection,
    survey: &Survey,
    capture: &Capture,
) -> Result<()> {
    for partition in publication::lacking_partitions(connection, &survey.roots(capture)).await? {
        if partition.owned {
            tables::set_identity_of_partition(connection, &partition).await?;
            print::line(format!(
                "partition {}: replica identity full",
                partition.label
            ))?;
        } else {
            print::line(format!(
                "partition {}: another role owns it and has to run: {}",
                partition.label, partition.sql
            ))?;
        }
    }
    Ok(())
}

/// What the publication lacks, as a statement; tables that `may_add` does not take are left out.
fn publication_sql(
    name: &str,
    found: Option<Publication>,
    survey: &Survey,
    may_add: impl Fn(&Table) -> bool,
) -> Option<String> {
    let missing = survey
        .captured
        .iter()
        .filter(|table| !table.published && may_add(table))
        .cloned();
    let missing: Vec<Table> = missing.collect();
    match found {
        None => Some(publication::create_sql(name, &missing)),
        Some(found) if found.all_tables || missing.is_empty() => None,
        Some(_) => Some(publication::add_sql(name, &missing)),
    }
}

async fn make_slot(
    connection: &Connection,
    log: &Connection,
    settings: &Settings,
    system: &System,
    accept_gap: bool,
) -> Result<()> {
    let name = &settings.source.slot;
    let checkpoint = Checkpoint::read(log).await?;
    let there = slot::Slot::look_up(connection, name).await?;
    match (checkpoint, there) {
        // After a teardown the log goes on with what is committed from now on, and says so.
        (Some(checkpoint), None) if checkpoint.slot.is_empty() => {
            let position = slot::create(connection, name).await?;
            let event = gap::record(log, &checkpoint, system, &settings.source, position).await?;
            print::line(format!("slot \"{name}\": made at {position}; the time since the teardown is a gap, event {event}"))
        }
        // Somebody else's slot is neither used nor dropped.
        (Some(checkpoint), Some(slot)) if !is_ours(&checkpoint, &slot, settings) => Err(Fault::permanent(format!(
            "slot \"{name}\" is not the one that this log is written from (\"{}\")",
            checkpoint.slot
        ))
        .next_step("set source.slot back, or choose a name that is free")),
        (Some(checkpoint), Some(_)) if checkpoint.slot.is_empty() && !accept_gap => Err(Fault::permanent(format!(
            "slot \"{name}\" exists, and the log was torn down: an earlier setup was cut off"
        ))
        .next_step("run `rowhook setup --accept-gap`, which makes it anew and records the gap as an event")),
        (Some(checkpoint), _) if accept_gap => {
            slot::drop(connection, name).await?;
            let position = slot::create(connection, name).await?;
            let event = gap::record(log, &checkpoint, system, &settings.source, position).await?;
            print::line(format!("slot \"{name}\": made anew at {position}; the gap is event {event}"))
        }
        (Some(_), Some(_)) => print::line(format!("slot \"{name}\": ready")),
        (Some(checkpoint), None) => Err(Fault::permanent(format!(
            "slot \"{name}\" existed and is gone; the log ends at {}, and what was committed after that may be lost",
            checkpoint.acknowledged_lsn
        ))
        .next_step("run `rowhook setup --accept-gap` to make a new slot and record the gap as an event")),
        (None, Some(_)) => Err(Fault::permanent(format!(
            "slot \"{name}\" exists, but this log knows nothing of it: it belongs to something else, or to a log that was dropped"
        ))
        .next_step(format!("choose another source.slot, or drop it: select pg_drop_replication_slot('{name}')"))),
        (None, None) => {
            print::line("slot: being made; this waits for transactions that run now to end")?;
            let position = slot::create(connection, name).await?;
            let checkpoint = Checkpoint {
                system_identifier: system.identifier.clone(),
                timeline: system.timeline,
                database: settings.source.target.database.clone(),
                slot: name.clone(),
                epoch: 0,
                commit_lsn: crate::wal::Lsn::INVALID,
                acknowledged_lsn: position,
                next_sequence_id: 1,
            };
            if let Err(fault) = checkpoint.create(log).await {
                // A slot without its checkpoint would hold back WAL for nobody.
                slot::drop(connection, name).await?;
                return Err(fault);
            }
            print::line(format!("slot \"{name}\": made at {position}"))
        }
    }
}

/// Whether a slot is the log's: by its name, unless the log was torn down, and by what it decodes.
fn is_ours(checkpoint: &Checkpoint, slot: &slot::Slot, settings: &Settings) -> bool {
    let named = checkpoint.slot == settings.source.slot || checkpoint.slot.is_empty();
    let decodes = slot.plugin.as_deref() == Some("pgoutput")
        && slot.database.as_deref() == Some(settings.source.target.database.as_str());
    named && decodes
}

/// What is missing as SQL, for those who hand out rights themselves.
fn script(
    settings: &Settings,
    survey: &Survey,
    partitions: &[LackingPartition],
    found: Option<Publication>,
) -> String {
    let (source, log) = (&settings.source, &settings.log.target);
    let role = publication::quote(&source.target.user);
    let mut lines = vec![
        format!(
            "-- On the source, database {}, as a superuser or the tables' owner:",
            source.target.database
        ),
        "alter system set wal_level = logical; -- needs a restart where it is not logical yet"
            .to_owned(),
        format!("alter role {role} with login replication;"),
    ];
    for refusal in &survey.refused {
        lines.push(format!(
            "-- {} is not captured: {} ({})",
            refusal.table, refusal.reason, refusal.fix
        ));
    }
    let wants_full = |table: &&Table| tables::wants_full(table, source, &settings.capture);
    let lacking = survey.captured.iter().filter(wants_full);
    lines.extend(lacking.map(|table| format!("{};", publication::identity_full_sql(table))));
    if source.replica_identity == ReplicaIdentity::Full {
        lines.extend(
            partitions
                .iter()
                .map(|partition| format!("{};", partition.sql)),
        );
    }
    lines.extend(
        publication_sql(&source.publication, found, survey, |_| true).map(|sql| format!("{sql};")),
    );
    lines.extend([
        format!("\n-- On the log, database {}:", log.database),
        format!("create schema if not exists rowhook authorization {};", publication::quote(&log.user)),
        "\n-- Then run `rowhook setup`, which makes the log's tables and the slot with these rights.\n".to_owned(),
    ]);
    lines.join("\n")
}
