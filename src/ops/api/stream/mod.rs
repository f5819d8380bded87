//! `GET /v1/events/stream`: events as they are logged (Server-Sent Events, HTML Living Standard 9.2).
//!
//! ```text
//! log ──▶ one reader (`fanout`) ──▶ a short ring of batches ──▶ one `Follower` per client
//!  └───────── pages, for who is behind what the ring holds ─────────▶┘
//! ```
//!
//! A client that cannot keep up falls behind the ring and reads pages, when it is ready for them:
//! nothing is kept for it in memory.

mod batch;
mod fanout;
mod follower;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;

pub(super) use fanout::Fanout;
use follower::Follower;

use super::{Asked, Desk, Operation, Problem, Scope, events};
use crate::ops::reading::{self, Question};

pub(super) fn operations() -> Vec<Operation> {
    let stream = Operation::get("/v1/events/stream", Scope::Read, get(follow))
        .says("Events as they are logged, as Server-Sent Events. `id` is the sequence id, `data` the event.")
        .number("after", "After this sequence id; without it, from now on.", 0, i64::MAX - 1)
        .in_header::<i64>("Last-Event-ID", "The same, and goes before it: where a client that comes back goes on.");
    vec![events::filtered(stream).streams()]
}

async fn follow(
    State(desk): State<Desk>,
    headers: HeaderMap,
    mut asked: Asked,
) -> Result<Response, Problem> {
    let after = asked.number("after", 0, i64::MAX - 1)?;
    let question = events::filters(&mut asked)?;
    asked.end()?;
    let place = desk.fanout().place()?;
    let after = begin(&desk, last_event_id(&headers)?.or(after), &question).await?;
    let follower = Follower::new(desk, question, after, place);
    let body = Body::from_stream(stream::unfold(follower, Follower::step));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // A proxy that gathers the answer would hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

/// Where a client that comes back goes on. It says so in a header, and still has the address of its
/// first request.
fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = value
        .to_str()
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    match id.filter(|id| *id >= 0) {
        Some(id) => Ok(Some(id)),
        None => {
            let detail = "Last-Event-ID is none of the ids of this stream";
            Err(Problem::bad("Last-Event-ID", detail))
        }
    }
}

/// The sequence id after which the client begins; without one, now, or at the time it names. A place
/// that the log does not have any more, or not yet, would be a hole that nobody sees.
async fn begin(desk: &Desk, after: Option<i64>, question: &Question) -> Result<i64, Problem> {
    let asked = question.clone();
    let bounds = desk.ask(move |log| async move {
        asked.check(&log).await?;
        reading::bounds(&log).await
    });
    let (oldest, head) = bounds.await?;
    match after {
        None if question.from.is_some() => Ok(0),
        None => Ok(head),
        Some(0) => Ok(0),
        Some(after) if after > head => {
            let detail = format!("there is no event {after} yet: the newest one is {head}");
            Err(Problem::bad("after", detail).next_step("is this the same log?"))
        }
        Some(after) if after + 1 < oldest => {
            let detail = format!("what follows on event {after} is no longer in the log");
            let problem = Problem::new(StatusCode::GONE, "gone", detail).at("after");
            Err(problem.next_step(format!(
                "the oldest event is {oldest}; after=0 begins there"
            )))
        }
        Some(after) => Ok(after),
    }
}
