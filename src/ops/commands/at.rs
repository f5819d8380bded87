//! `rowhook events at`: a row as it was.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{print, story};
use crate::event::past::{self, Past};
use crate::event::{Event, rfc3339};
use crate::event_log::past::{AsItWas, Standing, Turn, as_it_was};
use crate::event_log::{Checkpoint, by_time, deliveries};
use crate::fault::{Fault, Result};
use crate::ops::cli::{Output, time};
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// `rowhook events at`
#[derive(Debug, Clone, Args)]
pub struct At {
    /// The resource.
    #[arg(long)]
    pub resource: String,
    /// The row's key.
    #[arg(long)]
    pub id: String,
    /// As it was at this time (RFC 3339), or so long ago (90m, 2h, 3d). Default: as it is now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub time: Option<Timestamp>,
    /// As it was behind the event with this sequence id.
    #[arg(long, value_name = "ID", conflicts_with = "time", value_parser = clap::value_parser!(i64).range(0..))]
    pub sequence_id: Option<i64>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Shows a row as it was.
///
/// # Errors
/// If the log cannot be asked. A row that was not there, or of which the log does not tell whether it
/// was, is exit code 1.
pub async fn at(settings: &Settings, at: &At) -> Result<ExitCode> {
    let log = Connection::open(&settings.log.target, "rowhook events").await?;
    let newest = newest(&log).await?;
    let up_to = match (at.sequence_id, at.time) {
        (Some(sequence_id), _) if sequence_id > newest => {
            return Err(Fault::settings(format!(
                "the log holds no event {sequence_id} yet: its newest one is {newest}"
            )));
        }
        (Some(sequence_id), _) => sequence_id,
        (None, Some(time)) => {
            let oldest = deliveries::before_oldest(&log).await?;
            let behind = time.checked_add(SignedDuration::from_micros(1));
            let behind = behind.unwrap_or(Timestamp::MAX);
            by_time::before_first(&log, oldest, newest.max(oldest), behind).await?
        }
        (None, None) => newest,
    };
    let row = (at.resource.as_str(), at.id.as_str());
    let was = as_it_was(&log, &settings.capture, row, up_to).await?;
    if at.output.json {
        let view = View::of(at, up_to, &was)?;
        print::line(serde_json::to_string_pretty(&view).map_err(unprintable)?)?;
    } else {
        show(at, up_to, &was)?;
    }
    Ok(match was.standing {
        Standing::Present => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Sequence id of the newest event.
///
/// # Errors
/// If there is no log, or it cannot be asked.
pub(super) async fn newest(log: &Connection) -> Result<i64> {
    match Checkpoint::read(log).await? {
        Some(checkpoint) => Ok(checkpoint.next_sequence_id - 1),
        None => Err(
            Fault::permanent("there is no event log in this database yet")
                .next_step("run `rowhook setup`"),
        ),
    }
}

/// What had become of the row, in a word for programs and in one for people.
fn word(standing: &Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Present => ("present", "was there"),
        Standing::Deleted => ("deleted", "had been deleted"),
        Standing::Truncated(_) => ("truncated", "was gone: its table had been emptied"),
        Standing::Renamed(..) => ("renamed", "was no more under this key"),
        Standing::NotYet => ("not_yet", "was not there yet"),
        Standing::BeforeLog => ("before_log", "is not known: the log begins later"),
        Standing::Unknown => ("unknown", "is not known"),
    }
}

/// The answer for programs. Values are passed on as they stand in the log.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    resource: &'a str,
    resource_id: &'a str,
    up_to: i64,
    time: Option<String>,
    standing: &'static str,
    event: Option<Teller<'a>>,
    record: Option<Box<RawValue>>,
    unknown: &'a [String],
    /// Values that earlier events tell, by column.
    told_earlier: BTreeMap<String, i64>,
    ended_by: Option<Ending<'a>>,
    notes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Teller<'a> {
    sequence_id: i64,
    id: String,
    r#type: &'a str,
    created_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ending<'a> {
    sequence_id: i64,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<&'a str>,
}

impl<'a> View<'a> {
    fn of(at: &'a At, up_to: i64, was: &'a AsItWas) -> Result<Self> {
        let event = was.event.as_ref().map(|event| Teller {
            sequence_id: event.sequence_id,
            id: event.event_id.to_string(),
            r#type: &event.event_type,
            created_at: rfc3339(event.created_at),
        });
        let ending = |turn: &Turn, to: &'a Option<String>| Ending {
            sequence_id: turn.sequence_id,
            created_at: turn.at.to_string(),
            resource_id: to.as_deref(),
        };
        Ok(Self {
            resource: &at.resource,
            resource_id: &at.id,
            up_to,
            time: at.time.map(|time| time.to_string()),
            standing: word(&was.standing).0,
            event,
            record: was.past.as_ref().map(record).transpose()?,
            unknown: was.past.as_ref().map_or(&[], |past| &past.unknown),
            told_earlier: told_earlier(was),
            ended_by: match &was.standing {
                Standing::Truncated(turn) => Some(ending(turn, &None)),
                Standing::Renamed(turn, to) => Some(ending(turn, to)),
                _ => None,
            },
            notes: notes(was),
        })
    }
}

/// The known values as one JSON object.
fn record(past: &Past) -> Result<Box<RawValue>> {
    let member = |value: &past::Value| format!("{}:{}", value.key, value.value);
    let members: Vec<String> = past.values.iter().map(member).collect();
    RawValue::from_string(format!("{{{}}}", members.join(","))).map_err(unprintable)
}

fn unprintable(error: serde_json::Error) -> Fault {
    Fault::permanent("a row of the log cannot be printed").because(error)
}

fn told_earlier(was: &AsItWas) -> BTreeMap<String, i64> {
    let (Some(past), Some(event)) = (&was.past, &was.event) else {
        return BTreeMap::new();
    };
    let earlier = past
        .values
        .iter()
        .filter(|value| value.told_by != event.sequence_id);
    earlier
        .map(|value| (name(&value.key), value.told_by))
        .collect()
}

fn name(key: &str) -> String {
    serde_json::from_str(key).unwrap_or_else(|_| key.trim_matches('"').to_owned())
}

/// What keeps the answer from being the whole truth.
fn notes(was: &AsItWas) -> Vec<String> {
    let mut notes = Vec::new();
    if was.standing == Standing::Deleted && was.past.is_some() {
        notes.push("the row was marked as deleted, and was still in its table".to_owned());
    } else if let (Some(event), Some(_)) = (&was.event, &was.past)
        && was.standing != Standing::Present
    {
        notes.push(format!(
            "the values are those before event {}, the first that the log has of the row",
            event.sequence_id
        ));
    }
    if was.standing == Standing::Present && was.past.is_none() {
        notes.push("a later event tells that it was there, and not its values".to_owned());
    }
    for gap in &was.gaps {
        notes.push(format!(
            "changes may be missing: event {} ({}) tells of a gap",
            gap.sequence_id, gap.at
        ));
    }
    if !was.follows_key {
        notes.push("the log does not tell the key's columns: if the row was given another key, nobody noticed".to_owned());
    }
    if was
        .event
        .as_ref()
        .is_some_and(|event| event.erased_at.is_some())
    {
        notes.push("values were erased".to_owned());
    }
    notes
}

fn show(at: &At, up_to: i64, was: &AsItWas) -> Result<()> {
    let when = match at.time {
        Some(time) => format!("at {time} (behind event {up_to})"),
        None => format!("behind event {up_to}"),
    };
    print::line(format!(
        "{} {} {}, {when}",
        at.resource,
        at.id,
        word(&was.standing).1
    ))?;
    match &was.event {
        Some(event) => print::line(format!("told by    {}", told_by(event)))?,
        None => print::line("the log has no event of it")?,
    }
    match &was.standing {
        Standing::Truncated(turn) => print::line(format!(
            "emptied    by event {} ({})",
            turn.sequence_id, turn.at
        ))?,
        Standing::Renamed(turn, to) => print::line(format!(
            "new key    {}, by event {} ({})",
            to.as_deref().unwrap_or("not known"),
            turn.sequence_id,
            turn.at
        ))?,
        _ => {}
    }
    if let Some(past) = &was.past {
        show_values(past, was)?;
    }
    for note in notes(was) {
        print::line(format!("note       {note}"))?;
    }
    Ok(())
}

fn told_by(event: &Event) -> String {
    format!(
        "event {} ({}), {}",
        event.sequence_id,
        rfc3339(event.created_at),
        event.event_type
    )
}

fn show_values(past: &Past, was: &AsItWas) -> Result<()> {
    let earlier = told_earlier(was);
    let known = past.values.iter().map(|value| {
        let name = name(&value.key);
        let told = earlier
            .get(&name)
            .map(|event| format!("told by event {event}"));
        vec![name, story::short(&value.value), told.unwrap_or_default()]
    });
    let unknown = past
        .unknown
        .iter()
        .map(|name| vec![name.clone(), "(not known)".to_owned(), String::new()]);
    print::line("")?;
    print::table(&["FIELD", "VALUE", ""], known.chain(unknown).collect())
}
