//! `rowhook deliveries retry` and `discard`: count, ask, hand over.

use serde_json::{Value, json};

use super::Retry;
use crate::event_log::deliveries::look_up;
use crate::event_log::requests::{Chosen, Request};
use crate::fault::{Fault, Result};
use crate::ops::commands::print;
use crate::ops::commands::replay::progress::bar;
use crate::ops::settings::Settings;
use crate::wal::{Connection, server_error::sql_fault};

/// Counts, asks where that is wanted, and hands the request to the daemon.
pub(super) async fn request(
    settings: &Settings,
    log: &Connection,
    options: &Retry,
    chosen: &Chosen,
    request: Request,
    sure: impl FnOnce(i64) -> Result<bool>,
) -> Result<()> {
    let counts = chosen.count(log).await?;
    let count = counts.iter().map(|(.., count)| count).sum();
    let json = options.output.json;
    if !json {
        for (webhook, state, count) in &counts {
            print::line(format!("{webhook}: {count} {state}"))?;
        }
    }
    if count == 0 || options.dry_run || !sure(count)? {
        let said = match count {
            0 => "no delivery fits",
            _ => "nothing was changed",
        };
        return if json {
            print::json(&outcome(request, &counts, 0, false))
        } else {
            print::line(said)
        };
    }
    let bar = bar(request.as_str());
    bar.set_length(u64::try_from(count).unwrap_or(0));
    let told = |rows| bar.inc(u64::try_from(rows).unwrap_or(0));
    let asked = chosen.request(log, request, told).await?;
    bar.finish_and_clear();
    let total: i64 = asked.iter().map(|(_, count)| count).sum();
    let running = daemon_runs(log).await?;
    if json {
        return print::json(&outcome(request, &counts, total, running));
    }
    let what = match request {
        Request::Retry => "to be sent again",
        Request::Discard => "to be discarded",
    };
    let when = match running {
        true => "the daemon does it within seconds",
        false => "no daemon runs: it is done when one starts",
    };
    print::line(format!("{total} {what}; {when}"))?;
    for (replay, ..) in &counts {
        if replay.contains('/') && !asked.iter().any(|(webhook, _)| webhook == replay) {
            print::line(format!(
                "{replay}: the replay was cut off, so nobody sends it again; ask for another replay"
            ))?;
        }
    }
    for (webhook, _) in &asked {
        // A replay goes by its webhook.
        let webhook = webhook.split('/').next().unwrap_or(webhook);
        let configured = settings.webhooks.iter().any(|known| known.name == webhook);
        let paused = look_up(log, webhook)
            .await?
            .is_some_and(|row| row.paused.is_some());
        if !configured {
            print::line(format!(
                "{webhook}: not in the settings, so it is not done before it is there again"
            ))?;
        } else if paused && request == Request::Retry {
            print::line(format!(
                "{webhook}: paused, so nothing goes out before `rowhook webhooks resume {webhook}`"
            ))?;
        }
    }
    Ok(())
}

/// The same for programs, without a question.
pub(crate) async fn ask(
    log: &Connection,
    chosen: &Chosen,
    request: Request,
    dry_run: bool,
) -> Result<Value> {
    let counts = chosen.count(log).await?;
    if dry_run || counts.is_empty() {
        return Ok(outcome(request, &counts, 0, daemon_runs(log).await?));
    }
    let asked = chosen.request(log, request, |_| ()).await?;
    let total = asked.iter().map(|(_, count)| count).sum();
    Ok(outcome(request, &counts, total, daemon_runs(log).await?))
}

fn outcome(
    request: Request,
    counts: &[(String, String, i64)],
    requested: i64,
    running: bool,
) -> Value {
    let found: Vec<Value> = counts
        .iter()
        .map(|(webhook, state, count)| json!({"webhook": webhook, "state": state, "count": count}))
        .collect();
    json!({
        "request": request.as_str(), "found": found, "requested": requested, "daemon_runs": running,
    })
}

/// Whether a daemon serves this log: the name of its session is in the server's list.
async fn daemon_runs(log: &Connection) -> Result<bool> {
    let fault = |error| sql_fault("cannot look for the daemon", error);
    let sql = "select exists (select from pg_catalog.pg_stat_activity \
                where datname = current_database() and application_name = 'rowhook dispatch')";
    let row = log.query_one(sql, &[]).await.map_err(fault)?;
    row.try_get(0).map_err(fault)
}

pub(super) fn confirmed(count: i64) -> Result<bool> {
    print::confirmed(&format!("Give {count} up for good?"), || {
        Fault::settings(
            "discard asks before it gives deliveries up, and there is no terminal to ask on",
        )
        .next_step("run it with --yes, or --dry-run to see what it would be")
    })
}
