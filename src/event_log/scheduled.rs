//! Events that do not come through the source's stream: asked for by command or by HTTP, at once or for
//! later. They wait in a table of the log until the daemon logs them.

mod due;

use std::pin::pin;
use std::time::Duration;

use bytestring::ByteString;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

pub(super) use self::due::settle;
pub use self::due::{Due, DueEvent, claim, drop_old, until_due};
use super::read::JsonText;
use crate::event::{Emitted, Unfit, merged_context, shallow};
use crate::fault::{Fault, Result};
use crate::wal::server_error::sql_fault;

/// Here is notified that somebody asked for an event.
pub const CHANNEL: &str = "rowhook_scheduled";

/// Bytes of an idempotency key.
const LONGEST_KEY: usize = 255;

/// Bytes of an event that is printed, beside its texts.
const FRAME: usize = 300;

/// Farther ahead than this is a slip, such as milliseconds for seconds.
const FARTHEST: Duration = Duration::from_secs(10 * 366 * 86_400);

/// An event as somebody asks for it. Everything but the type may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// `invoice.sent`.
    pub event_type: String,
    /// JSON text: what it says.
    pub data: Option<String>,
    /// What it is about.
    pub resource: Option<String>,
    /// Which of them; the event then carries the object.
    pub resource_id: Option<String>,
    /// JSON text of an object: who did it and in which trace, as `rowhook.set_context` takes it.
    pub context: Option<String>,
    /// Not before this time.
    pub at: Option<Timestamp>,
    /// Not before so long after that time; without one, after now.
    pub delay: Option<Duration>,
    /// The same key with the same event asks for it once, within a day.
    pub idempotency_key: Option<String>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The id that the event has, or will have.
    pub event_id: Uuid,
    /// When it is due.
    pub due_at: Timestamp,
    /// Whether this request made it; else an earlier one with the same key did.
    pub is_new: bool,
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is no event: which part is wrong.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Its key was used for another event.
    #[error(
        "the idempotency key {key:?} was used for another event within the last day: {event_id}"
    )]
    Conflict {
        /// The key.
        key: String,
        /// The event that it was used for.
        event_id: Uuid,
    },
    /// The log could not be asked.
    #[error("{}", .0.cause())]
    Failed(#[from] Fault),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unfit(unfit) => Self::settings(format!("the event is refused: {unfit}")),
            Refusal::Conflict { .. } => Self::settings(refusal.to_string()).next_step(
                "repeat the very request that the key was used for, or take another key",
            ),
            Refusal::Failed(fault) => fault,
        }
    }
}

/// Asks for an event. It is safe when this returns, and logged once when it is due and a daemon runs.
///
/// # Errors
/// Why it is refused, or by the server's SQLSTATE.
pub async fn request(client: &Client, new: &NewEvent) -> Result<Accepted, Refusal> {
    let (emitted, context) = checked(new)?;
    let fault = |error| sql_fault(format!("cannot ask for event {}", new.event_type), error);
    let row = client
        .query_one(
            // Whoever follows the table need not wait for its next look.
            "select event_id, due_at, is_new, is_same, pg_catalog.pg_notify($11, '') \
               from rowhook.request_event(\
             $1, $2, $3, $4, $5::text::json, $6, $7, $8::text::json, $9, \
             make_interval(secs => $10::bigint::double precision / 1000))",
            &[
                &minted(),
                &new.idempotency_key,
                &fingerprint(new).as_slice(),
                &emitted.event_type,
                &emitted.data.as_deref(),
                &emitted.resource,
                &emitted.resource_id,
                &context.as_deref(),
                &new.at,
                &new.delay.map_or(0, millis),
                &CHANNEL,
            ],
        )
        .await
        .map_err(fault)?;
    let accepted = Accepted {
        event_id: row.try_get(0).map_err(fault)?,
        due_at: row.try_get(1).map_err(fault)?,
        is_new: row.try_get(2).map_err(fault)?,
    };
    match (row.try_get(3).map_err(fault)?, &new.idempotency_key) {
        (false, Some(key)) => Err(Refusal::Conflict {
            key: key.clone(),
            event_id: accepted.event_id,
        }),
        _ => Ok(accepted),
    }
}

fn checked(new: &NewEvent) -> Result<(Emitted, Option<ByteString>), Unfit> {
    let emitted = Emitted::new(
        new.event_type.clone(),
        new.data.as_deref(),
        new.resource.clone(),
        new.resource_id.clone(),
    )?;
    let context = match &new.context {
        Some(context) => {
            shallow("context", context)?;
            merged_context(None, context.as_bytes()).map_err(|why| Unfit::new("context", why))?
        }
        None => None,
    };
    if let Some(key) = &new.idempotency_key
        && (key.is_empty() || key.len() > LONGEST_KEY || key.contains(char::is_control))
    {
        let says = format!("it has to have 1 to {LONGEST_KEY} bytes, without control characters");
        return Err(Unfit::new("idempotency key", says));
    }
    let ahead = new.at.map_or(Duration::ZERO, |at| {
        Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
    });
    if new.delay.unwrap_or_default().saturating_add(ahead) > FARTHEST {
        let says = "it would be due in more than ten years";
        return Err(Unfit::new("time", says));
    }
    Ok((emitted, context))
}

/// UUID version 8 as row events have it: milliseconds first, so that an index grows at its end; here
/// the rest is random.
fn minted() -> Uuid {
    let mut bytes: [u8; 16] = rand::random();
    let millis = Timestamp::now().as_millisecond().to_be_bytes();
    let (time, _) = bytes.split_at_mut(6);
    time.copy_from_slice(millis.split_at(2).1);
    Uuid::new_v8(bytes)
}

/// What tells one request from another, its key aside.
fn fingerprint(new: &NewEvent) -> [u8; 32] {
    let mut hash = Sha256::new();
    let at = new.at.map(|at| at.to_string());
    let delay = new.delay.map(|delay| millis(delay).to_string());
    for part in [
        Some(&new.event_type),
        new.data.as_ref(),
        new.resource.as_ref(),
        new.resource_id.as_ref(),
        new.context.as_ref(),
        at.as_ref(),
        delay.as_ref(),
    ] {
        // Lengths keep neighbours apart, and what is empty from what is not there.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(part.map_or("", String::as_str));
    }
    hash.finalize().into()
}

fn millis(delay: Duration) -> i64 {
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}

/// How far an event is that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its time has not come.
    Waiting,
    /// It is due, and the daemon has not logged it yet.
    Due,
    /// It is in the log.
    Logged,
    /// Somebody cancelled it.
    Cancelled,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Due => "due",
            Self::Logged => "logged",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An event that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled {
    /// The id that it has, or will have, in the log.
    pub event_id: Uuid,
    /// How far it is.
    pub state: State,
    /// `invoice.sent`.
    pub event_type: String,
    /// JSON value: what it says.
    pub data: Option<ByteString>,
    /// What it is about.
    pub resource: String,
    /// Which of them.
    pub resource_id: Option<String>,
    /// JSON object: who did it and in which trace.
    pub context: Option<ByteString>,
    /// The key that it was asked for with.
    pub idempotency_key: Option<String>,
    /// When it is due.
    pub due_at: Timestamp,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Where it is in the log.
    pub sequence_id: Option<i64>,
}

impl Scheduled {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let json = [&self.data, &self.context];
        let json = json.into_iter().flatten().map(|text| text.len());
        let texts = [&self.resource_id, &self.idempotency_key];
        let texts = texts.into_iter().flatten().map(String::len);
        json.chain(texts).sum::<usize>() + self.event_type.len() + self.resource.len() + FRAME
    }
}

const SELECT: &str = "select event_id, event_type, data, resource, resource_id, context, idempotency_key, due_at, \
     requested_at, sequence_id, case when logged_at is not null then 'logged' when cancelled_at is not null then 'cancelled' \
     when claimed_at is not null or due_at <= clock_timestamp() then 'due' else 'waiting' end \
     from rowhook.scheduled_events";

/// Some of those that are not logged yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// In the order in which they will be logged.
    pub events: Vec<Scheduled>,
    /// Whether others come after them.
    pub more: bool,
}

/// Those that are not logged yet, in the order in which they will be; no more once there are so many
/// bytes of them, but one in any case.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn list(client: &Client, limit: i64, bytes: usize) -> Result<Listed> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = format!(
        "{SELECT} where logged_at is null and cancelled_at is null order by due_at, request limit $1"
    );
    let count = usize::try_from(limit).unwrap_or_default();
    // One more tells that there are more.
    let rows = client.query_raw(&sql, [limit.saturating_add(1)]);
    let mut rows = pin!(rows.await.map_err(fault)?);
    let (mut listed, mut taken) = (Listed::default(), 0_usize);
    while let Some(row) = rows.try_next().await.map_err(fault)? {
        if listed.events.len() >= count || taken >= bytes {
            listed.more = true;
            break;
        }
        let event = read(&row).map_err(fault)?;
        taken = taken.saturating_add(event.bytes());
        listed.events.push(event);
    }
    Ok(listed)
}

/// One of them, in whatever state.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn of_id(client: &Client, id: Uuid) -> Result<Option<Scheduled>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = format!("{SELECT} where event_id = $1");
    let row = client.query_opt(&sql, &[&id]).await.map_err(fault)?;
    row.map(|row| read(&row).map_err(fault)).transpose()
}

const CANNOT_READ: &str = "cannot read the scheduled events";

/// Cancels an event whose time has not come, or that no daemon has taken in hand. `false` if there is
/// none: [`of_id`] tells why.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn cancel(client: &Client, id: Uuid) -> Result<bool> {
    let sql = "update rowhook.scheduled_events set cancelled_at = clock_timestamp(), data = null, context = null \
                where event_id = $1 and logged_at is null and cancelled_at is null and claimed_at is null";
    let cancelled = client.execute(sql, &[&id]).await;
    let cancelled = cancelled.map_err(|error| sql_fault("cannot cancel an event", error))?;
    Ok(cancelled > 0)
}

fn read(row: &Row) -> Result<Scheduled, tokio_postgres::Error> {
    let json = |index: usize| -> Result<Option<ByteString>, tokio_postgres::Error> {
        let text: Option<JsonText> = row.try_get(index)?;
        Ok(text.map(|text| text.0))
    };
    Ok(Scheduled {
        event_id: row.try_get(0)?,
        event_type: row.try_get(1)?,
        data: json(2)?,
        resource: row.try_get(3)?,
        resource_id: row.try_get(4)?,
        context: json(5)?,
        idempotency_key: row.try_get(6)?,
        due_at: row.try_get(7)?,
        requested_at: row.try_get(8)?,
        sequence_id: row.try_get(9)?,
        state: match row.try_get(10)? {
            "waiting" => State::Waiting,
            "logged" => State::Logged,
            "cancelled" => State::Cancelled,
            _ => State::Due,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(event_type: &str) -> NewEvent {
        NewEvent {
            event_type: event_type.to_owned(),
            ..NewEvent::default()
        }
    }

    #[test]
    fn a_repeated_request_has_the_same_fingerprint_and_another_one_another() {
        let one = NewEvent {
            data: Some("1".into()),
            ..new("a.b")
        };
        let same = NewEvent {
            idempotency_key: Some("k".into()),
            ..one.clone()
        };
        assert_eq!(fingerprint(&one), fingerprint(&same));
        let others = [
            new("a.b1"),
            new("a.b"),
            NewEvent {
                resource: Some("1".into()),
                ..new("a.b")
            },
            NewEvent {
                delay: Some(Duration::from_secs(1)),
                ..one.clone()
            },
        ];
        for other in others {
            assert_ne!(fingerprint(&one), fingerprint(&other), "{other:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_by_its_part() {
        let part = |new: NewEvent| checked(&new).unwrap_err().part;
        assert_eq!(part(new("posts.created")), "type");
        let with = |change: fn(&mut NewEvent)| {
            let mut new = new("a.b");
            change(&mut new);
            new
        };
        assert_eq!(part(with(|it| it.context = Some("7".into()))), "context");
        let deep = |it: &mut NewEvent| it.context = Some(format!("{{\"a\":{}", "[".repeat(101)));
        assert_eq!(part(with(deep)), "context");
        assert_eq!(
            part(with(|it| it.idempotency_key = Some(String::new()))),
            "idempotency key"
        );
        assert_eq!(part(with(|it| it.at = Some(Timestamp::MAX))), "time");
        assert_eq!(part(with(|it| it.delay = Some(Duration::MAX))), "time");
        assert!(checked(&with(|it| it.at = Some(Timestamp::MIN))).is_ok());
    }
}
