//! `rowhook backfill`: asks the daemon for a table's rows as events, and watches it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::print;
use crate::event_log::backfills::{self, Backfill, Request, State};
use crate::event_log::migrate;
use crate::fault::{Fault, Result};
use crate::ops::cli;
use crate::ops::settings::Settings;
use crate::wal::{Connection, publication, slot::Slot};

/// How often the progress is read.
const INTERVAL: Duration = Duration::from_millis(200);

/// A daemon takes a request within a second; after this long there seems to be none.
const UNHEARD: Duration = Duration::from_secs(3);

/// Asks for a backfill and shows how it goes, cancels one, or lists them.
///
/// # Errors
/// If the table cannot be backfilled, and why; if the backfill fails.
pub async fn backfill(settings: &Settings, options: &cli::Backfill) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook backfill").await?;
    if migrate::version(&log).await?.is_none() {
        return Err(
            Fault::permanent("rowhook was never set up for this database")
                .next_step("run `rowhook setup`"),
        );
    }
    let Some(table) = &options.table else {
        return list(&log, options).await;
    };
    let (schema, name) = table.split_once('.').unwrap_or(("public", table));
    if options.cancel {
        return cancel(&log, schema, name).await;
    }
    can_be_backfilled(settings, schema, name).await?;
    let request = Request {
        schema: schema.to_owned(),
        table: name.to_owned(),
        chunk_rows: options.chunk_rows,
        rows_per_second: options.rate,
        from_start: options.from_start,
    };
    let before = backfills::of_table(&log, schema, name).await?;
    if before.is_some_and(|before| before.state.is_open()) {
        eprintln!("{schema}.{name}: a backfill is open already");
    } else {
        backfills::request(&log, &request).await?;
    }
    if options.detach {
        return match backfills::of_table(&log, schema, name).await? {
            Some(backfill) if options.output.json => print::json(&as_json(&backfill)),
            _ => print::line("asked for; `rowhook backfill` shows how it goes"),
        };
    }
    watch(settings, &log, schema, name, options).await
}

/// What the settings and the source say of the table, before the daemon is asked.
async fn can_be_backfilled(settings: &Settings, schema: &str, name: &str) -> Result<()> {
    let source = Connection::open(&settings.source.target, "rowhook backfill").await?;
    let tables = publication::tables(&source, &settings.source.publication).await?;
    let table = tables
        .iter()
        .find(|table| table.schema == schema && table.name == name)
        .ok_or_else(|| {
            Fault::settings(format!("there is no table {schema}.{name}"))
                .next_step("name it as schema.table, as it stands in the catalogs")
        })?;
    if table.partition {
        return Err(Fault::settings(format!(
            "{schema}.{name} is a partition: its rows belong to its root"
        ))
        .next_step("name the partitioned table"));
    }
    if !settings.capture.includes(schema, name) {
        return Err(Fault::settings(format!("{schema}.{name} is not captured"))
            .next_step("take it into capture.tables"));
    }
    if table.primary_key.is_empty() {
        return Err(Fault::settings(format!(
            "{schema}.{name} has no primary key, which a backfill goes along"
        ))
        .next_step(format!(
            "alter table {} add primary key (…)",
            table.quoted()
        )));
    }
    Ok(())
}

async fn cancel(log: &Connection, schema: &str, name: &str) -> Result<()> {
    let open = backfills::of_table(log, schema, name)
        .await?
        .filter(|backfill| backfill.state.is_open());
    let Some(backfill) = open else {
        return Err(
            Fault::settings(format!("{schema}.{name} has no backfill that is open"))
                .next_step("`rowhook backfill` lists them"),
        );
    };
    let reason = Some("cancelled by an operator");
    backfills::end(log, backfill.id, State::Cancelled, reason).await?;
    print::line(format!(
        "{schema}.{name}: cancelled after {} events, which stay in the log",
        backfill.rows_logged
    ))
}

async fn list(log: &Connection, options: &cli::Backfill) -> Result<()> {
    let backfills = backfills::list(log).await?;
    if options.output.json {
        return print::json(&backfills.iter().map(as_json).collect());
    }
    if backfills.is_empty() {
        return print::line("no backfill was ever asked for");
    }
    let row = |backfill: &Backfill| {
        vec![
            backfill.label(),
            backfill.state.as_str().to_owned(),
            backfill.rows_logged.to_string(),
            backfill
                .rows_expected
                .map_or_else(String::new, |rows| format!("about {rows}")),
            backfill.reason.clone().unwrap_or_default(),
        ]
    };
    print::table(
        &["TABLE", "STATE", "LOGGED", "ROWS", "REASON"],
        backfills.iter().map(row).collect(),
    )
}

pub(super) fn as_json(backfill: &Backfill) -> Value {
    json!({
        "table": backfill.label(),
        "state": backfill.state.as_str(),
        "rows_logged": backfill.rows_logged,
        "rows_expected": backfill.rows_expected,
        "rows_per_second": backfill.rows_per_second,
        "last_key": backfill.last_key,
        "reason": backfill.reason,
    })
}

/// Shows the progress until the end. Interrupted, it leaves the backfill to the daemon.
async fn watch(
    settings: &Settings,
    log: &Connection,
    schema: &str,
    name: &str,
    options: &cli::Backfill,
) -> Result<()> {
    let bar = bar(&format!("{schema}.{name}"));
    let began = Instant::now();
    let mut asked_for_daemon = false;
    loop {
        let backfill = backfills::of_table(log, schema, name)
            .await?
            .ok_or_else(|| Fault::permanent("the backfill's row is gone from the log"))?;
        show(&bar, &backfill);
        if !backfill.state.is_open() {
            bar.finish_and_clear();
            return ended(&backfill, options);
        }
        if backfill.state == State::Waiting && began.elapsed() > UNHEARD && !asked_for_daemon {
            asked_for_daemon = true;
            if !is_streaming(settings).await? {
                bar.set_message("waits for the daemon, which does not run");
                bar.suspend(|| {
                    eprintln!(
                        "no daemon reads from the slot: the backfill begins when `rowhook run` does"
                    );
                });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(|error| Fault::transient("cannot wait for a signal").because(error))?;
                bar.abandon();
                return print::line("the daemon goes on with it; `rowhook backfill` shows how far it is, --cancel ends it");
            }
        }
    }
}

pub(super) async fn is_streaming(settings: &Settings) -> Result<bool> {
    let source = Connection::open(&settings.source.target, "rowhook backfill").await?;
    let slot = Slot::look_up(&source, &settings.source.slot).await?;
    Ok(slot.is_some_and(|slot| slot.active_pid.is_some()))
}

/// Hidden where nobody looks: standard error is no terminal.
fn bar(table: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(
        "{prefix} [{bar:30}] {human_pos}/{human_len} rows, {per_sec}, {eta} left {wide_msg}",
    );
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(table.to_owned());
    bar
}

fn show(bar: &ProgressBar, backfill: &Backfill) {
    let logged = u64::try_from(backfill.rows_logged).unwrap_or(0);
    let expected = backfill
        .rows_expected
        .map(|rows| u64::try_from(rows).unwrap_or(0));
    // The server's estimate may be too small.
    bar.set_length(expected.unwrap_or(0).max(logged));
    bar.set_position(logged);
    bar.set_message(backfill.reason.clone().unwrap_or_default());
}

fn ended(backfill: &Backfill, options: &cli::Backfill) -> Result<()> {
    if options.output.json {
        print::json(&as_json(backfill))?;
    }
    let (table, reason) = (
        backfill.label(),
        backfill.reason.clone().unwrap_or_default(),
    );
    match backfill.state {
        State::Failed => Err(Fault::permanent(format!("{table}: {reason}"))
            .next_step("mend that and ask again: it goes on where it stopped")),
        State::Cancelled => Err(Fault::permanent(format!("{table}: {reason}"))),
        _ if options.output.json => Ok(()),
        _ => print::line(format!("{table}: {} events logged", backfill.rows_logged)),
    }
}
