//! `rowhook webhooks`: list, test, pause, resume.

use std::process::ExitCode;
use std::sync::Arc;

use bytestring::ByteString;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{print, status};
use crate::dispatch::Subscription;
use crate::event::{Action, Event, OldRow, Origin};
use crate::event_log::deliveries;
use crate::fault::{Fault, Result};
use crate::ops::cli::Output;
use crate::ops::settings::Settings;
use crate::wal::{Connection, Lsn};
use crate::webhook::{Delivery, Outcome, Renderer, Sender, delivery_id};

/// Lists the webhooks and their state.
///
/// # Errors
/// If the log cannot be asked.
pub async fn list(settings: &Settings, output: Output) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook webhooks").await?;
    let webhooks = status::webhooks(&log, settings).await?;
    if output.json {
        print::json(&json!(webhooks))
    } else {
        status::show_webhooks(&webhooks)
    }
}

pub(crate) fn named<'a>(settings: &'a Settings, name: &str) -> Result<&'a Subscription> {
    settings
        .webhooks
        .iter()
        .find(|webhook| webhook.name == name)
        .ok_or_else(|| {
            let known: Vec<&str> = settings
                .webhooks
                .iter()
                .map(|webhook| webhook.name.as_str())
                .collect();
            Fault::settings(format!("there is no webhook \"{name}\""))
                .next_step(format!("one of: {}", known.join(", ")))
        })
}

/// Sends a sample event and prints what came of it. It is not in the log and moves no cursor.
///
/// # Errors
/// If the request cannot be made. A refusal by the receiver is exit code 1.
pub async fn test(settings: &Settings, name: &str, output: Output) -> Result<ExitCode> {
    let subscription = named(settings, name)?;
    let sender = Sender::new(&subscription.endpoint)?;
    let event = sample();
    let delivery = Delivery {
        id: delivery_id(event.event_id, name),
        attempt: 1,
        replay: None,
    };
    let source = Arc::from(settings.source.target.database.as_str());
    let rendered = Renderer::new(source, &subscription.endpoint).render(&event, &delivery);
    let started = std::time::Instant::now();
    let outcome = match rendered {
        Ok(body) => sender.send(&event, &delivery, body).await,
        Err(reason) => Outcome::NotRendered { reason },
    };
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let delivered = matches!(outcome, Outcome::Delivered { .. });
    if output.json {
        print::json(&json!({
            "webhook": name, "event_id": event.event_id.to_string(), "delivered": delivered,
            "outcome": outcome.to_string(), "milliseconds": millis,
        }))?;
    } else {
        print::line(format!("{name}: {outcome} ({millis} ms)"))?;
    }
    Ok(if delivered {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// An event like a real one: type `rowhook.test`, so that a receiver can tell.
fn sample() -> Event {
    let now = Timestamp::now();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&rand::random::<u128>().to_be_bytes());
    Event {
        sequence_id: 0,
        event_id: Uuid::new_v8(bytes),
        event_type: Arc::from("rowhook.test"),
        resource: Arc::from("rowhook"),
        resource_id: Some(ByteString::from_static("test")),
        action: Action::Updated,
        created_at: now.as_microsecond(),
        record: Some(ByteString::from_static(
            r#"{"id":"test","status":"new value"}"#,
        )),
        previous: Some(ByteString::from_static(r#"{"status":"old value"}"#)),
        context: None,
        data: None,
        tenant: None,
        related: None,
        old_row: OldRow::Full,
        unknown: Vec::new(),
        as_text: Vec::new(),
        erased_at: None,
        origin: Origin {
            schema: Arc::from(""),
            table: Arc::from(""),
            xid: 0,
            commit_lsn: Lsn::INVALID,
            index: 0,
        },
    }
}

/// Pauses or resumes a webhook. A daemon that runs notices within seconds.
///
/// # Errors
/// If there is no such webhook, or the log cannot be asked.
pub async fn set_paused(
    settings: &Settings,
    name: &str,
    reason: Option<&str>,
    output: Output,
) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook webhooks").await?;
    let Some(since) = deliveries::set_paused(&log, name, reason).await? else {
        named(settings, name)?;
        return Err(
            Fault::transient(format!("webhook \"{name}\" has not been served yet"))
                .next_step("start the daemon first"),
        );
    };
    let state = if reason.is_some() { "paused" } else { "active" };
    if output.json {
        return print::json(&json!({
            "webhook": name, "state": state, "reason": reason, "since": since.to_string(),
        }));
    }
    print::line(format!("{name}: {state}"))
}
