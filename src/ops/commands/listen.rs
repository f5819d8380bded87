//! `rowhook listen`: live events to a developer's machine, straight from the log. No webhook has to be
//! written, none is moved, and the daemon knows nothing of it.

mod target;

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use self::target::Target;
use super::{at::newest, print};
use crate::dispatch::Choice;
use crate::event::Event;
use crate::event_log::read::{self, Filter};
use crate::event_log::{by_time, deliveries};
use crate::fault::{Fault, Result};
use crate::ops::cli::{Output, time};
use crate::ops::settings::Settings;
use crate::wal::Connection;
use crate::webhook::{Format, Outcome};

/// How often it looks for new events.
const FOLLOW: Duration = Duration::from_millis(250);
/// Events that are read at once …
const PAGE: i64 = 100;
/// … as long as they are not more bytes than this.
const PAGE_BYTES: usize = 4 << 20;

/// `rowhook listen`
#[derive(Debug, Clone, Args)]
pub struct Listen {
    /// Where the events go, as http://localhost:3000/hooks.
    #[arg(long, value_name = "URL")]
    pub forward_to: String,
    /// Only types that these patterns cover, as 'posts.*'; several with commas, or given several times.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub events: Vec<String>,
    /// As this webhook of the settings has them: events, conditions, format, body and secret.
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// In this format. Default: the webhook's, else rowhook.
    #[arg(long)]
    pub format: Option<Form>,
    /// Begins back in time: at a time (RFC 3339), so long ago (90m, 2h, 3d), or with the newest N events
    /// of the log.
    #[arg(long, value_name = "SINCE|N", value_parser = since)]
    pub replay: Option<Since>,
    /// Signs with this secret (whsec_… or whsk_…). Default: the webhook's, else one that is made now.
    #[arg(long, env = "ROWHOOK_LISTEN_SECRET", hide_env_values = true)]
    pub secret: Option<String>,
    /// Takes any certificate, as of a development server.
    #[arg(long)]
    pub skip_verify: bool,
    /// How long an answer may take.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// A format by its name in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "docs/formats.md describes them")]
pub enum Form {
    Rowhook,
    Snaapi,
    Hasura,
    Cloudevents,
    CloudeventsBinary,
    CloudeventsBatch,
    Sharetribe,
    SharetribeApi,
    Stelace,
    Thena,
}

impl Form {
    fn format(self) -> Format {
        match self {
            Self::Rowhook => Format::Rowhook,
            Self::Snaapi => Format::Snaapi,
            Self::Hasura => Format::Hasura { max_retries: 0 },
            Self::Cloudevents => Format::Cloudevents,
            Self::CloudeventsBinary => Format::CloudeventsBinary,
            Self::CloudeventsBatch => Format::CloudeventsBatch,
            Self::Sharetribe => Format::Sharetribe,
            Self::SharetribeApi => Format::SharetribeApi,
            Self::Stelace => Format::Stelace,
            Self::Thena => Format::Thena,
        }
    }
}

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With the first event that was committed then or later.
    Time(Timestamp),
    /// With so many of the newest events.
    Newest(u32),
}

fn since(text: &str) -> Result<Since, String> {
    match text.parse() {
        Ok(count) => Ok(Since::Newest(count)),
        Err(_) => time(text)
            .map(Since::Time)
            .map_err(|why| format!("{why}, nor a number of events")),
    }
}

/// What came of it so far.
#[derive(Debug, Default)]
struct Tally {
    delivered: u64,
    failed: u64,
    not_wanted: u64,
}

/// Forwards events until it is interrupted.
///
/// # Errors
/// If the URL or another option is wrong, or the log cannot be asked. What the receiver does ends
/// nothing.
pub async fn listen(settings: &Settings, options: &Listen) -> Result<()> {
    let target = Target::of(settings, options)?;
    let log = Connection::open(&settings.log.target, "rowhook listen").await?;
    let after = start(&log, options.replay).await?;
    let mut tally = Tally::default();
    target.introduce(after);
    let interrupted = interrupted()?;
    tokio::select! {
        () = interrupted => {}
        ended = forward(&log, &target, options, after, &mut tally) => ended?,
    }
    let Tally {
        delivered,
        failed,
        not_wanted,
    } = tally;
    eprintln!("{delivered} delivered, {failed} failed, {not_wanted} not asked for");
    Ok(())
}

/// Behind which event it begins.
async fn start(log: &Connection, replay: Option<Since>) -> Result<i64> {
    let newest = newest(log).await?;
    let oldest = deliveries::before_oldest(log).await?;
    match replay {
        None => Ok(newest),
        Some(Since::Newest(count)) => Ok((newest - i64::from(count)).max(oldest)),
        Some(Since::Time(time)) => {
            by_time::before_first(log, oldest, newest.max(oldest), time).await
        }
    }
}

/// Ends with SIGINT or SIGTERM.
fn interrupted() -> Result<impl Future<Output = ()>> {
    let listen = |kind| {
        signal(kind).map_err(|error| Fault::permanent("cannot listen for signals").because(error))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Sends one event after the other; ends when nobody reads what it prints.
async fn forward(
    log: &Connection,
    target: &Target,
    options: &Listen,
    after: i64,
    tally: &mut Tally,
) -> Result<()> {
    let mut filter = Filter {
        after: Some(after),
        limit: PAGE,
        bytes: Some(PAGE_BYTES),
        ..Filter::default()
    };
    loop {
        let events = read::page(log, &filter).await?;
        if events.is_empty() {
            tokio::time::sleep(FOLLOW).await;
        }
        for event in events {
            filter.after = Some(event.sequence_id);
            let began = Instant::now();
            let outcome = match target.choose(&event) {
                Choice::Wanted => target.send(&event).await,
                Choice::Failed(reason) => Outcome::NotRendered { reason },
                Choice::Filtered(_) => {
                    tally.not_wanted += 1;
                    continue;
                }
            };
            match &outcome {
                Outcome::Delivered { .. } => tally.delivered += 1,
                _ => tally.failed += 1,
            }
            let line = match options.output.json {
                true => as_json(&event, &outcome, began.elapsed()),
                false => as_line(&event, &outcome, began.elapsed()),
            };
            if !print::line_is_read(&line)? {
                return Ok(());
            }
        }
    }
}

fn as_line(event: &Event, outcome: &Outcome, took: Duration) -> String {
    let id = event.resource_id.as_deref().unwrap_or("-");
    let (said, body) = match outcome {
        Outcome::Delivered { status } => (status.to_string(), ""),
        Outcome::Refused {
            status, excerpt, ..
        } => (status.to_string(), excerpt.as_str()),
        other => (other.to_string(), ""),
    };
    let mut line = format!(
        "{:>8}  {} {id}  →  {said}  ({} ms)",
        event.sequence_id,
        event.event_type,
        took.as_millis()
    );
    for text in body.lines() {
        line.push_str("\n          | ");
        line.push_str(text);
    }
    line
}

fn as_json(event: &Event, outcome: &Outcome, took: Duration) -> String {
    let answer = match outcome {
        Outcome::Refused { excerpt, .. } => Some(excerpt),
        _ => None,
    };
    json!({
        "sequenceId": event.sequence_id,
        "id": event.event_id.to_string(),
        "type": &*event.event_type,
        "resource": &*event.resource,
        "resourceId": event.resource_id.as_deref(),
        "delivered": matches!(outcome, Outcome::Delivered { .. }),
        "status": outcome.status(),
        "outcome": outcome.to_string(),
        "answer": answer,
        "milliseconds": took.as_secs_f64() * 1000.0,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_begins_at_a_time_or_with_a_number_of_events() {
        assert_eq!(since("20"), Ok(Since::Newest(20)));
        let at = "2026-01-31T12:00:00Z";
        assert_eq!(since(at), Ok(Since::Time(at.parse().unwrap())));
        assert!(matches!(since("2h"), Ok(Since::Time(_))));
        for wrong in ["", "-1", "yesterday", "99999999999"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
