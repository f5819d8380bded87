//! `rowhook setup`: the log's schema, the publication, and the slot, in this order. A slot decodes
//! with the catalogs of its time, so the publication has to be there before it.

mod slot_making;

use tokio_postgres::error::SqlState;

use super::print;
use crate::capture::continuity::{self, Break};
use crate::capture::histories;
use crate::capture::resume;
use crate::capture::survey::{self, Survey};
use crate::capture::tables;
use crate::event_log::{Checkpoint, Published, encoding, keys, migrate};
use crate::fault::{Fault, Result};
use crate::ops::cli::Setup;
use crate::ops::settings::Settings;
use crate::wal::publication::{self, LackingPartition, Publication, Table};
use crate::wal::{Connection, GatedSession, ReplicaIdentity, server_error::sql_fault, slot};
use slot_making::Making;
pub(super) use slot_making::is_ours;

/// What applications call inside their own transactions.
pub(super) const SOURCE_FUNCTIONS: &str = concat!(
    include_str!("../../../sql/source_functions.sql"),
    include_str!("../../../sql/context_functions.sql"),
);

/// `if not exists` alone would ask for the right to create schemas even where this one is there.
const CREATE_SCHEMA: &str = "do $$ begin if not exists (select from pg_catalog.pg_namespace where nspname = 'rowhook') \
     then create schema rowhook; end if; end $$";

/// Sets everything up. May be run again at any time; what is there already stays.
///
/// # Errors
/// What could not be made, and which right is missing.
pub async fn setup(settings: &Settings, options: Setup) -> Result<()> {
    let source = &settings.source;
    let connection = Connection::open(&source.target, "rowhook setup").await?;
    let survey = survey::survey(
        publication::tables(&connection, &source.publication).await?,
        &settings.source,
        &settings.capture,
    )?;
    if options.print_sql {
        let found = publication::look_up(&connection, &source.publication).await?;
        let partitions = publication::lacking_partitions(&connection, &survey.roots()).await?;
        let failover = source.failover.wanted(server_version(&connection).await?)?;
        return print::text(&script(settings, &survey, &partitions, found, failover));
    }
    remark_refused(&survey)?;
    wal_level_is_logical(&connection).await?;
    let failover = source.failover.wanted(server_version(&connection).await?)?;
    let mut session = GatedSession::open(source).await?;
    let system = session.identify().await?;
    resume::is_primary(&system)?;
    let log = Connection::open(&settings.log.target, "rowhook setup").await?;
    encoding::fits(&connection, &log).await?;
    migrate::migrate(&log).await?;
    print::line("log schema: ready")?;
    let broken = broken(&connection, &log, settings).await?;
    if let Some(broken) = broken.as_ref().filter(|_| !options.accept_gap) {
        return Err(broken.fault());
    }
    publish(&connection, settings, &survey).await?;
    for (relation, key) in survey.keys() {
        keys::note(&log, relation, &key).await?;
    }
    // As it is before there is a slot: what is taken out of it from now on is noticed.
    let published = published(&connection, settings).await?;
    let making = Making {
        connection: &connection,
        log: &log,
        settings,
        system: &system,
        failover,
    };
    making
        .make_or_keep(&mut session, options.accept_gap, broken)
        .await?;
    if let Some(published) = published {
        published.note(&log).await?;
    }
    functions(&connection).await?;
    context_triggers(&connection).await?;
    let publication = &source.publication;
    histories::note_published(&connection, &log, publication, &settings.capture).await?;
    Ok(())
}

/// What applications may call. Capture does without, so a role that may not create them sets up all
/// the same.
async fn functions(connection: &Connection) -> Result<()> {
    let sql = format!("begin; {CREATE_SCHEMA}; {SOURCE_FUNCTIONS}; commit");
    match connection.batch_execute(&sql).await {
        Ok(()) => print::line("functions rowhook.set_context and rowhook.emit: ready"),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            // The failed transaction is still open.
            let _ = connection.batch_execute("rollback").await;
            print::line(
                "functions rowhook.set_context and rowhook.emit: not made, as this role may not; \
                 `rowhook setup --print-sql` prints them for somebody who may",
            )
        }
        Err(error) => Err(sql_fault(
            "cannot make the functions for applications",
            error,
        )),
    }
}

/// Tables whose owner had a trigger put on them: they call what was just made, or failed to be.
async fn context_triggers(connection: &Connection) -> Result<()> {
    let outdated = super::context_triggers::outdated(connection, SOURCE_FUNCTIONS).await?;
    let state = if outdated.is_empty() {
        "calls this version's functions"
    } else {
        "calls functions of another version, which this role could not replace"
    };
    for trigger in super::context_triggers::find(connection).await? {
        print::line(format!(
            "trigger rowhook_context on {}: {state}",
            trigger.table
        ))?;
    }
    Ok(())
}

async fn published(connection: &Connection, settings: &Settings) -> Result<Option<Published>> {
    let name = &settings.source.publication;
    let found = publication::look_up(connection, name).await?;
    let tables = publication::tables(connection, name).await?;
    Ok(found.map(|found| continuity::noted(&found, &tables, &settings.capture)))
}

/// As `server_version_num` has it.
async fn server_version(connection: &Connection) -> Result<i32> {
    let fault = |error| sql_fault("cannot read the server's version", error);
    let sql = "select current_setting('server_version_num')::integer";
    let row = connection.query_one(sql, &[]).await.map_err(fault)?;
    row.try_get(0).map_err(fault)
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

/// Whether the publication has carried everything since this log was set up; what may be missing, if
/// not.
async fn broken(
    connection: &Connection,
    log: &Connection,
    settings: &Settings,
) -> Result<Option<Break>> {
    let name = &settings.source.publication;
    let was_set_up = Checkpoint::read(log)
        .await?
        .is_some_and(|checkpoint| checkpoint.slot == settings.source.slot);
    if !was_set_up {
        return Ok(None);
    }
    let found = publication::look_up(connection, name).await?;
    let tables = publication::tables(connection, name).await?;
    let noted = Published::read(log).await?;
    Ok(match (noted, found) {
        (Some(noted), found) => {
            continuity::broken(name, &noted, found.as_ref(), &tables, &settings.capture)
        }
        (None, None) => Some(Break::dropped(name)),
        (None, Some(_)) => None,
    })
}

async fn publish(connection: &Connection, settings: &Settings, survey: &Survey) -> Result<()> {
    let name = &settings.source.publication;
    let found = publication::look_up(connection, name).await?;
    let (ours, foreign): (Vec<&Table>, Vec<&Table>) =
        survey.captured.iter().partition(|table| table.owned);
    let wants_full =
        |table: &&Table| survey::wants_full(table, &settings.source, &settings.capture);
    for table in ours.into_iter().filter(wants_full) {
        tables::set_identity(connection, table).await?;
        print::line(format!("table {}: replica identity full", table.label()))?;
    }
    if settings.source.replica_identity == ReplicaIdentity::Full {
        identify_partitions(connection, survey).await?;
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
async fn identify_partitions(connection: &Connection, survey: &Survey) -> Result<()> {
    for partition in publication::lacking_partitions(connection, &survey.roots()).await? {
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

/// What is missing as SQL, for those who hand out rights themselves.
fn script(
    settings: &Settings,
    survey: &Survey,
    partitions: &[LackingPartition],
    found: Option<Publication>,
    failover: bool,
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
    let wants_full = |table: &&Table| survey::wants_full(table, source, &settings.capture);
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
        "\n-- On the source, if applications are to say who changes rows; capture does without:"
            .to_owned(),
        format!("{CREATE_SCHEMA};"),
        SOURCE_FUNCTIONS.to_owned(),
    ]);
    lines.extend([
        format!("\n-- On the log, database {}:", log.database),
        format!("create schema if not exists rowhook authorization {};", publication::quote(&log.user)),
        "\n-- Then run `rowhook setup`, which makes the log's tables and the slot with these rights:".to_owned(),
        format!("-- {};\n", slot::create_sql(&source.slot, failover)),
    ]);
    lines.join("\n")
}
