//! `POST /v1/events` and `/v1/scheduled-events`: events of the application's own.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::Written;
use super::events::time;
use super::openapi::Operation;
use super::{Asked, Desk, Given, Json, Problem, Scope};
use crate::event_log::scheduled::{self, NewEvent, Refusal, State as Standing};
use crate::ops::commands::emit::View;

type Object = serde_json::Map<String, Value>;

const KEY: &str = "Idempotency-Key";
/// Events of a list, if nothing else is asked for, and at the most.
const SOME: i64 = 100;
const MOST: i64 = 10_000;
/// Bytes of events after which a list ends, whatever its limit.
const LIST_BYTES: usize = 8 << 20;
/// Milliseconds of a time in 1973: what is less is meant as seconds.
const EARLIEST: i64 = 100_000_000_000;

pub(super) fn operations() -> Vec<Operation> {
    let id = "The event's id.";
    vec![
        Operation::post("/v1/events", Scope::Emit, post(emit))
            .says("Asks for an event of your own, at once or for later.")
            .in_header::<String>(
                KEY,
                "The same key with the same body asks for it once within 24 hours.",
            )
            .takes::<Wish>()
            .accepts::<Accepted>(),
        Operation::get("/v1/scheduled-events", Scope::Read, get(list))
            .says("The events that were asked for and are not logged yet, in the order in which they will be.")
            .number("limit", "How many at the most; 100 if it is not said.", 1, MOST)
            .answers::<Listed>(),
        Operation::get("/v1/scheduled-events/{id}", Scope::Read, get(one))
            .says("One event that was asked for, for a day after it was logged.")
            .in_path::<Id>("id", id)
            .answers::<Object>(),
        Operation::delete("/v1/scheduled-events/{id}", Scope::Emit, delete(cancel))
            .says("Cancels an event whose time has not come.")
            .in_path::<Id>("id", id)
            .answers::<Object>(),
    ]
}

/// An event to be logged.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewEvent")]
struct Wish {
    /// Words with dots between them, such as "invoice.sent".
    r#type: String,
    /// What it says: any JSON.
    #[schemars(with = "Option<Value>")]
    data: Option<Box<RawValue>>,
    /// What it is about; the first word of the type, if it is not said.
    resource: Option<String>,
    /// Which of them: the event carries the object as it stands in the log. Needs `resource`.
    resource_id: Option<String>,
    /// Who did it and in which trace, as `rowhook.set_context` takes it.
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    context: Option<Box<RawValue>>,
    /// Not before so long from now, or after `timestamp`: seconds, or "90s", "5m", "3d".
    delay: Option<Delay>,
    /// Not before this time: RFC 3339, or milliseconds since 1970.
    timestamp: Option<Moment>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum Delay {
    Seconds(u32),
    Text(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum Moment {
    Milliseconds(i64),
    Text(String),
}

/// An event's id.
#[derive(JsonSchema)]
#[schemars(inline, extend("format" = "uuid"))]
struct Id(#[expect(dead_code, reason = "only its schema is used")] String);

/// What became of the request.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Accepted {
    /// The id that the event will have in the log.
    id: Id,
    /// When it is due.
    #[schemars(extend("format" = "date-time"))]
    due_at: String,
    /// Whether this request made it; else an earlier one with the same key did.
    new: bool,
}

/// Events that were asked for.
#[derive(JsonSchema)]
#[schemars(rename = "ScheduledEvents")]
struct Listed {
    /// As `rowhook events scheduled --json` prints them.
    #[expect(dead_code, reason = "only its schema is used")]
    events: Vec<Object>,
    /// Whether others come after them, beyond the limit or 8 MiB.
    #[expect(dead_code, reason = "only its schema is used")]
    more: bool,
}

impl Wish {
    fn meant(self, key: Option<String>) -> Result<NewEvent, Problem> {
        Ok(NewEvent {
            event_type: self.r#type,
            data: self.data.map(|data| data.get().to_owned()),
            resource: self.resource,
            resource_id: self.resource_id,
            context: self.context.map(|context| context.get().to_owned()),
            at: self.timestamp.map(Moment::read).transpose()?,
            delay: self.delay.map(Delay::read).transpose()?,
            idempotency_key: key,
        })
    }
}

impl Delay {
    fn read(self) -> Result<Duration, Problem> {
        match self {
            Self::Seconds(seconds) => Ok(Duration::from_secs(seconds.into())),
            Self::Text(text) => humantime::parse_duration(&text).map_err(|_| {
                let detail = format!("{text:?} is not a time span such as 90s, 5m, 2h or 3d");
                Problem::bad("delay", detail)
            }),
        }
    }
}

impl Moment {
    fn read(self) -> Result<Timestamp, Problem> {
        let read = match self {
            Self::Text(text) => time(&text),
            Self::Milliseconds(number) if number < EARLIEST => Err(format!(
                "{number} milliseconds since 1970 are long ago; is it meant as seconds?"
            )),
            Self::Milliseconds(number) => Timestamp::from_millisecond(number)
                .map_err(|_| format!("{number} is no number of milliseconds since 1970")),
        };
        read.map_err(|what| Problem::bad("timestamp", what))
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut given = headers.get_all(KEY).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => match key.to_str() {
            Ok(key) => Ok(Some(key.to_owned())),
            Err(_) => Err(Problem::bad(KEY, "it has to be printable ASCII")),
        },
        _ => Err(Problem::bad(KEY, "it is given twice")),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unfit(unfit) => {
                let at = match unfit.part {
                    "idempotency key" => KEY,
                    "time" => "timestamp",
                    part => part,
                };
                Self::bad(at, unfit.to_string())
            }
            Refusal::Conflict { .. } => Self::conflict("key_used", refusal.to_string())
                .at(KEY)
                .next_step(
                    "repeat the very request that the key was used for, or take another key",
                ),
            Refusal::Failed(fault) => fault.into(),
        }
    }
}

async fn emit(
    State(desk): State<Desk>,
    asked: Asked,
    headers: HeaderMap,
    Given(wish): Given<Wish>,
) -> Result<impl IntoResponse, Problem> {
    asked.end()?;
    let new = wish.meant(key(&headers)?)?;
    let request = desk.operate(move |log| async move {
        let accepted = scheduled::request(&log, &new).await?;
        Ok(accepted)
    });
    let accepted = request.await?;
    let id = accepted.event_id.to_string();
    let location = [(header::LOCATION, format!("/v1/scheduled-events/{id}"))];
    let body = json!({
        "id": id,
        "due_at": accepted.due_at.to_string(),
        "new": accepted.is_new,
    });
    Ok((StatusCode::ACCEPTED, location, Json(body)))
}

async fn list(State(desk): State<Desk>, mut asked: Asked) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct List<'a> {
        events: Vec<View<'a>>,
        more: bool,
    }
    let limit = asked.number("limit", 1, MOST)?.unwrap_or(SOME);
    asked.end()?;
    let set_aside = desk.set_aside().await?;
    let listed = desk.ask(move |log| async move { scheduled::list(&log, limit, LIST_BYTES).await });
    let listed = listed.await?;
    let written = Written::of(&List {
        events: listed.events.iter().map(View::from).collect(),
        more: listed.more,
    })?;
    Ok(set_aside.json(written.0.into_bytes()))
}

async fn one(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Written, Problem> {
    asked.end()?;
    let id = read_id(&id)?;
    let event = desk.ask(move |log| async move { scheduled::of_id(&log, id).await });
    let event = event.await?.ok_or_else(|| unknown(id))?;
    Written::of(&View::from(&event))
}

async fn cancel(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Written, Problem> {
    asked.end()?;
    let id = read_id(&id)?;
    desk.operate(move |log| async move {
        let cancelled = scheduled::cancel(&log, id).await?;
        let event = scheduled::of_id(&log, id).await?;
        let event = event.ok_or_else(|| unknown(id))?;
        if cancelled {
            return Written::of(&View::from(&event));
        }
        let detail = match event.state {
            Standing::Logged | Standing::Cancelled => {
                format!("event {id} is {} already", event.state.as_str())
            }
            Standing::Due | Standing::Waiting => {
                format!("event {id} is on its way into the log: it is too late to cancel it")
            }
        };
        Err(Problem::conflict("not_waiting", detail))
    })
    .await
}

fn read_id(text: &str) -> Result<Uuid, Problem> {
    text.parse()
        .map_err(|_| Problem::bad("id", format!("{text:?} is no id of an event")))
}

fn unknown(id: Uuid) -> Problem {
    Problem::not_found(format!("no event {id} was asked for"))
        .next_step("/v1/scheduled-events lists those that wait")
}
