//! `--dry-run`: what a replay would send.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::progress::bar;
use super::subscription;
use crate::dispatch::Choice;
use crate::dispatch::replay::Filter;
use crate::event::{Event, rfc3339};
use crate::event_log::read;
use crate::event_log::replays::Request;
use crate::fault::{Fault, Result};
use crate::ops::commands::print;
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// How many events are shown.
const SAMPLE: usize = 5;
/// Events of one query at the most, and their bytes.
const PAGE: i64 = 5_000;
const PAGE_BYTES: usize = 4 << 20;
/// Sequence ids that one query looks through at the most.
const SPAN: i64 = 1_000_000;

/// What was counted.
#[derive(Default)]
struct Counted {
    by_type: BTreeMap<String, u64>,
    sample: Vec<Event>,
    /// Of these nobody can tell whether they are wanted: they would be parked.
    doubtful: u64,
}

impl Counted {
    fn add(&mut self, event: Event, choice: &Choice) {
        match choice {
            Choice::Filtered(_) => return,
            Choice::Failed(_) => self.doubtful += 1,
            Choice::Wanted => {}
        }
        *self
            .by_type
            .entry(event.event_type.to_string())
            .or_default() += 1;
        if self.sample.len() < SAMPLE {
            self.sample.push(event);
        }
    }
}

/// Counts the events that a replay would send, as the webhook and the filter are now.
pub(super) async fn show(
    settings: &Settings,
    log: &Connection,
    request: Request,
    as_json: bool,
) -> Result<()> {
    let counted = count(settings, log, &request).await?;
    let events: u64 = counted.by_type.values().sum();
    if as_json {
        return print::json(&json!({
            "webhook": request.webhook, "after": request.after, "up_to": request.up_to,
            "events": events, "doubtful": counted.doubtful, "types": counted.by_type,
            "sample": counted.sample.iter().map(gist).collect::<Vec<_>>(),
        }));
    }
    print::line(format!(
        "{events} events would be sent again to {}",
        request.webhook
    ))?;
    if events == 0 {
        return Ok(());
    }
    if counted.doubtful > 0 {
        let doubtful = counted.doubtful;
        print::line(format!(
            "{doubtful} of them would be parked: nobody can tell whether they are wanted"
        ))?;
    }
    print::line("")?;
    let types = counted.by_type.iter();
    let rows = types.map(|(name, count)| vec![name.clone(), count.to_string()]);
    print::table(&["TYPE", "EVENTS"], rows.collect())?;
    print::line("")?;
    let rows = counted.sample.iter().map(|event| {
        vec![
            event.sequence_id.to_string(),
            rfc3339(event.created_at),
            event.event_type.to_string(),
            event.resource_id.as_deref().unwrap_or("-").to_owned(),
        ]
    });
    print::table(&["ID", "COMMITTED", "TYPE", "RESOURCE"], rows.collect())
}

async fn count(settings: &Settings, log: &Connection, request: &Request) -> Result<Counted> {
    let subscription = subscription(settings, request)?;
    let filter = Filter::of(request).map_err(Fault::settings)?;
    let bar = bar("counting");
    bar.set_length(u64::try_from(request.up_to - request.after).unwrap_or(0));
    let mut counted = Counted::default();
    let mut after = request.after;
    while after < request.up_to {
        let to = after.saturating_add(SPAN).min(request.up_to);
        let filter = read::Filter {
            limit: PAGE,
            bytes: Some(PAGE_BYTES),
            ..filter.within(after, to)
        };
        let events = read::page(log, &filter).await?;
        let bytes: usize = events.iter().map(Event::bytes).sum();
        let is_whole = events.len() < usize::try_from(PAGE).unwrap_or(0) && bytes < PAGE_BYTES;
        after = match events.last() {
            Some(last) if !is_whole => last.sequence_id,
            _ => to,
        };
        for event in events {
            let choice = subscription.choose(&event);
            counted.add(event, &choice);
        }
        bar.set_position(u64::try_from(after - request.after).unwrap_or(0));
    }
    bar.finish_and_clear();
    Ok(counted)
}

fn gist(event: &Event) -> Value {
    json!({
        "sequence_id": event.sequence_id,
        "event_id": event.event_id.to_string(),
        "type": *event.event_type,
        "resource": *event.resource,
        "resource_id": event.resource_id.as_deref(),
        "created_at": rfc3339(event.created_at),
    })
}
