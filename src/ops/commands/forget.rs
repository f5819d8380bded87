//! `rowhook webhooks forget`: the cursor and the deliveries of a webhook that is no more.

use super::{backfill, print, status, teardown};
use crate::event_log::replays;
use crate::fault::{Fault, Result};
use crate::ops::settings::Settings;
use crate::wal::{Connection, server_error::sql_fault};

/// Shows what will go, asks, and removes it.
///
/// # Errors
/// If the webhook is in the settings, or nothing is known of it.
pub async fn forget(settings: &Settings, name: &str, yes: bool) -> Result<()> {
    if settings.webhooks.iter().any(|webhook| webhook.name == name) {
        return Err(
            Fault::settings(format!("webhook \"{name}\" is in the settings")).next_step(
                "take it out and reload the daemon; to stop it for a while: rowhook webhooks pause",
            ),
        );
    }
    let log = Connection::open(&settings.log.target, "rowhook webhooks").await?;
    let kept = status::webhooks(&log, settings).await?;
    let Some(webhook) = kept.iter().find(|webhook| webhook["name"] == name) else {
        let others = kept
            .iter()
            .filter(|it| it["state"] == status::NOT_IN_SETTINGS);
        let others: Vec<&str> = others.filter_map(|it| it["name"].as_str()).collect();
        let fault = Fault::settings(format!("nothing is kept of a webhook \"{name}\""));
        return Err(match others.as_slice() {
            [] => fault.next_step("`rowhook webhooks list` shows those that are known"),
            others => fault.next_step(format!("one of: {}", others.join(", "))),
        });
    };
    if is_served(&log, name).await? && backfill::is_streaming(settings).await? {
        return Err(
            Fault::transient(format!("the daemon still serves webhook \"{name}\""))
                .next_step("reload it, and try again two seconds later"),
        );
    }
    let of_replays = replays::deliveries_of(&log, name).await?;
    print::line(format!(
        "{name}: cursor at event {}, {} parked and {} dead deliveries, and its replays with {of_replays} deliveries",
        webhook["cursor"], webhook["parked"], webhook["dead"]
    ))?;
    if !yes && !teardown::confirmed("forget", "Forget it?")? {
        return print::line("nothing was removed");
    }
    replays::cancel_all(&log, name, "the webhook was forgotten").await?;
    replays::forget_deliveries(&log, name).await?;
    let sql = "delete from rowhook.subscriptions where name = $1";
    log.execute(sql, &[&name])
        .await
        .map_err(|error| sql_fault(format!("cannot forget webhook \"{name}\""), error))?;
    print::line(format!(
        "{name}: forgotten; under this name a new webhook would start anew"
    ))
}

/// Without its row the daemon's runner would take itself for fenced off.
async fn is_served(log: &Connection, name: &str) -> Result<bool> {
    let fault = |error| sql_fault("cannot read the webhooks", error);
    let sql = "select served from rowhook.subscriptions where name = $1";
    let row = log.query_opt(sql, &[&name]).await.map_err(fault)?;
    let served = row.map(|row| row.try_get(0)).transpose().map_err(fault)?;
    Ok(served.unwrap_or(false))
}
