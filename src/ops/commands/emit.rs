//! `rowhook events emit`, `scheduled`, `cancel`: events that do not come through the source's stream.

use std::io::Read as _;
use std::time::Duration;

use bytestring::ByteString;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::print;
use crate::event_log::migrate;
use crate::event_log::scheduled::{self, Accepted, NewEvent, Scheduled, State};
use crate::fault::{Fault, Result};
use crate::ops::cli::{Emit, Emitting, Output};
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_millis(100);
/// After so long it says what may be missing.
const LONG: Duration = Duration::from_secs(5);

/// Does what was asked.
///
/// # Errors
/// If an event is refused, and why; if there is none to cancel; if the log cannot be asked.
pub(crate) async fn emitting(settings: &Settings, command: &Emitting) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook events").await?;
    if migrate::version(&log).await?.is_none() {
        return Err(
            Fault::permanent("rowhook was never set up for this database")
                .next_step("run `rowhook setup`"),
        );
    }
    match command {
        Emitting::Emit(options) => emit(&log, options).await,
        Emitting::Scheduled { limit, output } => list(&log, *limit, *output).await,
        Emitting::Cancel { id, output } => cancel(&log, *id, *output).await,
    }
}

async fn emit(log: &Connection, options: &Emit) -> Result<()> {
    let new = NewEvent {
        event_type: options.event_type.clone(),
        data: options.data.as_deref().map(given).transpose()?,
        resource: options.resource.clone(),
        resource_id: options.id.clone(),
        context: options.context.clone(),
        at: options.at,
        delay: options.delay,
        idempotency_key: options.key.clone(),
    };
    let accepted = scheduled::request(log, &new).await?;
    let place = match options.wait {
        true => wait(log, accepted.event_id).await?,
        false => None,
    };
    if options.output.json {
        return print::json(&json!({
            "id": accepted.event_id.to_string(),
            "due_at": accepted.due_at.to_string(),
            "new": accepted.is_new,
            "sequence_id": place,
        }));
    }
    print::line(answer(options, &accepted, place))
}

fn answer(options: &Emit, accepted: &Accepted, place: Option<i64>) -> String {
    let what = match (place, options.delay, options.at) {
        (Some(place), ..) => format!("logged as {place}"),
        (None, None, None) => "accepted".to_owned(),
        _ => format!("scheduled for {}", accepted.due_at),
    };
    let again = if accepted.is_new {
        ""
    } else {
        " (asked for before, with the same key)"
    };
    format!("event {}: {what}{again}", accepted.event_id)
}

/// The JSON that an argument is, or where it stands.
fn given(argument: &str) -> Result<String> {
    let unreadable = |what: &str, error: std::io::Error| {
        Fault::settings(format!("cannot read the event's data from {what}")).because(error)
    };
    if argument == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        return read
            .map(|_| text)
            .map_err(|error| unreadable("standard input", error));
    }
    match argument.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| unreadable(path, error)),
        None => Ok(argument.to_owned()),
    }
}

/// Waits until an event is logged; gives its sequence id. `None` where it is forgotten by now.
async fn wait(log: &Connection, id: Uuid) -> Result<Option<i64>> {
    let began = Instant::now();
    let mut told = false;
    loop {
        match scheduled::of_id(log, id).await? {
            Some(event) if event.state == State::Cancelled => {
                return Err(Fault::settings(format!("event {id} was cancelled")));
            }
            Some(event) if event.state != State::Logged => {
                if event.state == State::Due && !told && began.elapsed() > LONG {
                    eprintln!("rowhook: no daemon logs it; does one run? `rowhook status` tells");
                    told = true;
                }
            }
            done => return Ok(done.and_then(|event| event.sequence_id)),
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn list(log: &Connection, limit: i64, output: Output) -> Result<()> {
    let events = scheduled::list(log, limit, usize::MAX).await?.events;
    if output.json {
        return print::line(pretty(&events)?);
    }
    if events.is_empty() {
        return print::line("no event waits for its time");
    }
    let row = |event: &Scheduled| {
        vec![
            event.event_id.to_string(),
            event.state.as_str().to_owned(),
            event.due_at.to_string(),
            event.event_type.clone(),
            match &event.resource_id {
                Some(id) => format!("{} {id}", event.resource),
                None => event.resource.clone(),
            },
            event.data.as_deref().unwrap_or_default().to_owned(),
        ]
    };
    print::table(
        &["ID", "STATE", "DUE", "TYPE", "RESOURCE", "DATA"],
        events.iter().map(row).collect(),
    )
}

/// An event that was asked for, for programs. What it says is passed on as it was written.
#[derive(Serialize)]
pub(crate) struct View<'a> {
    id: String,
    state: &'static str,
    r#type: &'a str,
    data: Option<&'a RawValue>,
    resource: &'a str,
    resource_id: Option<&'a str>,
    context: Option<&'a RawValue>,
    key: Option<&'a str>,
    due_at: String,
    requested_at: String,
}

impl<'a> From<&'a Scheduled> for View<'a> {
    fn from(event: &'a Scheduled) -> Self {
        let raw = |text: &'a Option<ByteString>| {
            text.as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
        };
        Self {
            id: event.event_id.to_string(),
            state: event.state.as_str(),
            r#type: &event.event_type,
            data: raw(&event.data),
            resource: &event.resource,
            resource_id: event.resource_id.as_deref(),
            context: raw(&event.context),
            key: event.idempotency_key.as_deref(),
            due_at: event.due_at.to_string(),
            requested_at: event.requested_at.to_string(),
        }
    }
}

fn pretty(events: &[Scheduled]) -> Result<String> {
    let views: Vec<View<'_>> = events.iter().map(View::from).collect();
    serde_json::to_string_pretty(&views)
        .map_err(|error| Fault::permanent("scheduled events cannot be printed").because(error))
}

async fn cancel(log: &Connection, id: Uuid, output: Output) -> Result<()> {
    let cancelled = scheduled::cancel(log, id).await?;
    let event = scheduled::of_id(log, id).await?;
    match event {
        Some(_) if cancelled && output.json => {
            print::json(&json!({ "id": id.to_string(), "cancelled": true }))
        }
        Some(event) if cancelled => {
            print::line(format!("event {id}: cancelled ({})", event.event_type))
        }
        Some(event) if event.state == State::Due => Err(Fault::settings(format!(
            "event {id} is due and on its way into the log: it is too late to cancel it"
        ))),
        Some(event) => Err(Fault::settings(format!(
            "event {id} is {} already",
            event.state.as_str()
        ))
        .next_step("`rowhook events scheduled` lists those that wait")),
        None => Err(Fault::settings(format!("no event {id} was asked for"))
            .next_step("`rowhook events scheduled` lists those that wait")),
    }
}
