//! `rowhook replay`: asks the daemon to send stored events again, and watches it.

mod dry_run;
pub(super) mod progress;

use serde_json::{Value, json};

use super::{print, webhooks};
use crate::dispatch::replay::{Filter, Replay};
use crate::event_log::replays::{self, ReplayRow, Request, State};
use crate::event_log::{Checkpoint, by_time, deliveries, migrate};
use crate::fault::{Fault, Result};
use crate::ops::cli::{self, ReplayCommand, Wanted};
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// Asks for a replay and shows how it goes, counts what it would send, cancels one, or lists them.
///
/// # Errors
/// If there is nothing to send, and why; if the replay fails.
pub async fn replay(settings: &Settings, options: &cli::Replay) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook replay").await?;
    if migrate::version(&log).await?.is_none() {
        return Err(
            Fault::permanent("rowhook was never set up for this database")
                .next_step("run `rowhook setup`"),
        );
    }
    match &options.command {
        Some(ReplayCommand::List(output)) => return list(&log, output.json).await,
        Some(ReplayCommand::Cancel { id }) => return cancel(&log, *id).await,
        None => {}
    }
    let request = Request {
        per_second: options.rate,
        ..asked_for(settings, &log, &options.wanted).await?
    };
    if options.dry_run {
        return dry_run::show(settings, &log, request, options.output.json).await;
    }
    if request.up_to <= request.after {
        return Err(
            Fault::settings("the log holds no event in this range").next_step(
                "`rowhook events list` shows what it holds; --dry-run counts before it sends",
            ),
        );
    }
    let id = replays::request(&log, &request).await?;
    if options.detach {
        return match replays::of_id(&log, id).await? {
            Some(row) if options.output.json => print::json(&as_json(&row)),
            _ => print::line(format!(
                "replay {id}: asked for; `rowhook replay list` shows how it goes"
            )),
        };
    }
    progress::watch(settings, &log, id, options).await
}

/// What the options mean: the webhook must be there, and the range is one of the log as it is now.
pub(crate) async fn asked_for(
    settings: &Settings,
    log: &Connection,
    wanted: &Wanted,
) -> Result<Request> {
    let webhook = wanted.webhook.as_deref().unwrap_or_default();
    webhooks::named(settings, webhook)?;
    let is_bounded = [wanted.from, wanted.to].iter().any(Option::is_some)
        || [wanted.after, wanted.before].iter().any(Option::is_some);
    if !(is_bounded || wanted.resource.is_some() || !wanted.types.is_empty()) {
        return Err(Fault::settings(
            "without a range or a filter, the whole log would be sent again",
        )
        .next_step("name --from, --after, --type or --resource; --after 0 is the whole log"));
    }
    let newest = Checkpoint::read(log)
        .await?
        .map_or(0, |checkpoint| checkpoint.next_sequence_id - 1);
    let oldest = deliveries::before_oldest(log).await?;
    let after = wanted.after.unwrap_or(0).max(oldest);
    let up_to = wanted.before.map_or(newest, |id| newest.min(id - 1));
    let (after, up_to) =
        by_time::narrowed(log, after, up_to.max(after), wanted.from, wanted.to).await?;
    let request = Request {
        webhook: webhook.to_owned(),
        after,
        up_to,
        from: wanted.from,
        to: wanted.to,
        types: (!wanted.types.is_empty()).then(|| wanted.types.clone()),
        resource: wanted.resource.clone(),
        resource_id: wanted.resource_id.clone(),
        when: wanted.when.clone(),
        per_second: None,
    };
    Filter::of(&request).map_err(Fault::settings)?;
    Ok(request)
}

async fn cancel(log: &Connection, id: i64) -> Result<()> {
    let reason = Some("cancelled by an operator");
    let ended = replays::end(log, id, State::Cancelled, reason).await?;
    let row = replays::of_id(log, id).await?;
    match row {
        Some(row) if ended => print::line(format!(
            "replay {id}: cancelled after {} deliveries",
            row.delivered
        )),
        Some(row) => Err(Fault::settings(format!(
            "replay {id} is not open: it is {}",
            row.state.as_str()
        ))
        .next_step("`rowhook replay list` shows those that are")),
        None => Err(Fault::settings(format!("there is no replay {id}"))
            .next_step("`rowhook replay list` shows all")),
    }
}

async fn list(log: &Connection, as_json_text: bool) -> Result<()> {
    let rows = replays::list(log).await?;
    if as_json_text {
        return print::json(&rows.iter().map(as_json).collect());
    }
    if rows.is_empty() {
        return print::line("no replay was ever asked for");
    }
    let row = |row: &ReplayRow| {
        vec![
            row.id.to_string(),
            row.request.webhook.clone(),
            row.state.as_str().to_owned(),
            format!("{}–{}", row.request.after + 1, row.request.up_to),
            row.cursor.to_string(),
            row.delivered.to_string(),
            row.waiting.to_string(),
            row.dead.to_string(),
            row.skipped.to_string(),
            row.reason.clone().unwrap_or_default(),
        ]
    };
    print::table(
        &[
            "ID",
            "WEBHOOK",
            "STATE",
            "RANGE",
            "CURSOR",
            "DELIVERED",
            "PARKED",
            "DEAD",
            "SKIPPED",
            "REASON",
        ],
        rows.iter().map(row).collect(),
    )
}

pub(crate) fn as_json(row: &ReplayRow) -> Value {
    let request = &row.request;
    json!({
        "id": row.id,
        "webhook": request.webhook,
        "subscription": row.name,
        "state": row.state.as_str(),
        "after": request.after,
        "up_to": request.up_to,
        "cursor": row.cursor,
        "from": request.from.map(|time| time.to_string()),
        "to": request.to.map(|time| time.to_string()),
        "types": request.types,
        "resource": request.resource,
        "resource_id": request.resource_id,
        "when": request.when,
        "per_second": request.per_second,
        "delivered": row.delivered,
        "parked": row.waiting,
        "dead": row.dead,
        "skipped": row.skipped,
        "reason": row.reason,
        "requested_at": row.requested_at.to_string(),
    })
}

/// The subscription that a request would run as.
fn subscription(settings: &Settings, request: &Request) -> Result<crate::dispatch::Subscription> {
    let replay = Replay {
        id: 0,
        webhook: request.webhook.clone(),
        up_to: request.up_to,
        filter: Filter::of(request).map_err(Fault::settings)?,
        per_second: None,
    };
    Ok(webhooks::named(settings, &request.webhook)?.replaying("", replay))
}
