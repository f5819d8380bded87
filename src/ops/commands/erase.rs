//! `rowhook events erase`: the values of one row go from the log; its events stay in their places.

mod survey;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::survey::{Survey, pages};
use super::{at::newest, print};
use crate::event::Erasure;
use crate::event_log::{deliveries, erasures, segments_of};
use crate::fault::{Fault, Result};
use crate::ops::cli::Output;
use crate::ops::settings::Settings;
use crate::wal::{Connection, publication::quote, server_error::sql_fault};

/// How long to wait for the daemon to log what was done.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// `rowhook events erase`
#[derive(Debug, Clone, Args)]
pub struct Erase {
    /// The resource.
    #[arg(long)]
    pub resource: String,
    /// The row's key.
    #[arg(long)]
    pub id: String,
    /// Only these columns, as email,phone. Default: all but the key, and what was said of who did it.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub fields: Vec<String>,
    /// Shows what it would be, and changes nothing.
    #[arg(long, conflicts_with_all = ["yes", "vacuum"])]
    pub dry_run: bool,
    /// Does not ask.
    #[arg(long)]
    pub yes: bool,
    /// Removes the old versions of the rows from the tables' files at once, not when autovacuum comes.
    #[arg(long)]
    pub vacuum: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Erases.
///
/// # Errors
/// If nobody said yes, or the log cannot be changed. A row without events is exit code 1.
pub async fn erase(settings: &Settings, options: &Erase) -> Result<ExitCode> {
    let log = Connection::open(&settings.log.target, "rowhook erase").await?;
    let up_to = newest(&log).await?;
    let row = (options.resource.as_str(), options.id.as_str());
    let erasure = match options.fields.is_empty() {
        true => Erasure::All,
        false => Erasure::Fields(options.fields.iter().cloned().collect()),
    };
    let survey = Survey::of(&log, settings, row, &erasure, up_to).await?;
    if survey.events.is_empty() {
        eprintln!("rowhook: the log holds no event of {} {}", row.0, row.1);
        return Ok(ExitCode::FAILURE);
    }
    if let Erasure::Fields(fields) = &erasure {
        survey.refuse(fields)?;
    }
    if !options.output.json {
        survey.show()?;
    }
    let to_do = survey.to_erase() > 0;
    if options.dry_run || !options.yes && to_do && !confirmed(survey.to_erase())? {
        return match options.output.json {
            true => print::json(&json!({"found": survey.as_json(), "erased": 0, "logged": false})),
            false => print::line("nothing was changed"),
        }
        .map(|()| ExitCode::SUCCESS);
    }
    let id = match to_do {
        true => Some(work(&log, row, &erasure, &survey, up_to).await?),
        false => None,
    };
    let silenced = erasures::silence(&log, &survey.events).await?;
    if let Some(id) = id {
        erasures::finish(&log, id).await?;
    }
    if options.vacuum {
        vacuum(&log, &survey).await?;
    }
    let logged = match id {
        Some(id) => logged(&log, id).await?,
        None => false,
    };
    tell(options, &survey, silenced, id, logged).map(|()| ExitCode::SUCCESS)
}

/// Erases batch by batch, each in a transaction of its own; gives the number of the erasure.
async fn work(
    log: &Connection,
    row: (&str, &str),
    erasure: &Erasure,
    survey: &Survey,
    up_to: i64,
) -> Result<i64> {
    erasures::lock(log).await?;
    let id = erasures::begin(log, row, erasure, up_to).await?;
    let mut after = deliveries::before_oldest(log).await?;
    while let Some(page) = pages(log, row, after, up_to).await? {
        after = page.last().map_or(up_to, |event| event.sequence_id);
        let left: Vec<_> = page
            .iter()
            .filter_map(|event| Some((event.sequence_id, erasure.of(event, survey.key_of(event))?)))
            .collect();
        if !left.is_empty() {
            erasures::leave(log, id, &left).await?;
        }
    }
    Ok(id)
}

/// Waits a little for the daemon to say that it has forgotten what it held, and has logged it.
async fn logged(log: &Connection, id: i64) -> Result<bool> {
    let began = Instant::now();
    loop {
        let logged = erasures::is_logged(log, id).await?;
        if logged || began.elapsed() > PATIENCE || !daemon_runs(log).await? {
            return Ok(logged);
        }
        sleep(POLL).await;
    }
}

async fn daemon_runs(log: &Connection) -> Result<bool> {
    let fault = |error| sql_fault("cannot look for the daemon", error);
    let sql = "select exists (select from pg_catalog.pg_stat_activity \
                where datname = current_database() and application_name = 'rowhook writer')";
    let row = log.query_one(sql, &[]).await.map_err(fault)?;
    row.try_get(0).map_err(fault)
}

/// Old versions of rows are readable in the files until then.
async fn vacuum(log: &Connection, survey: &Survey) -> Result<()> {
    let mut tables = segments_of(log, &survey.events).await?;
    tables.push("attempts".to_owned());
    tables.push("deliveries".to_owned());
    let tables: BTreeSet<String> = tables
        .iter()
        .map(|name| format!("rowhook.{}", quote(name)))
        .collect();
    for table in tables {
        log.batch_execute(&format!("vacuum {table}"))
            .await
            .map_err(|error| sql_fault(format!("cannot vacuum {table}"), error))?;
    }
    Ok(())
}

fn tell(
    options: &Erase,
    survey: &Survey,
    (attempts, deliveries): (u64, u64),
    id: Option<i64>,
    logged: bool,
) -> Result<()> {
    let erased = survey.to_erase();
    if options.output.json {
        return print::json(&json!({
            "found": survey.as_json(), "erasure": id, "erased": erased, "answers": attempts,
            "reasons": deliveries, "vacuumed": options.vacuum, "logged": logged,
        }));
    }
    print::line(format!(
        "erased values of {erased} events, {attempts} answers of receivers, {deliveries} reasons of deliveries"
    ))?;
    match (id, logged) {
        (None, _) => print::line("there was nothing left to erase in the events"),
        (Some(_), true) => print::line(
            "the daemon has forgotten what it held of them, and logged it as rowhook.erased",
        ),
        (Some(_), false) => {
            print::line("no daemon has logged it yet: it does when it runs, as rowhook.erased")
        }
    }
}

fn confirmed(count: i64) -> Result<bool> {
    print::confirmed(&format!("Erase values of {count} events for good?"), || {
        Fault::settings("erase asks before it changes the log, and there is no terminal to ask on")
            .next_step("run it with --yes, or --dry-run to see what it would be")
    })
}
