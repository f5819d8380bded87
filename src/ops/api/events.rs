//! `GET /v1/events` and `GET /v1/events/{id}`.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde::Serialize;

use super::{Asked, Desk, Problem};
use crate::event::Event;
use crate::fault::Fault;
use crate::ops::reading::{self, Name, Page, Question, Types, View};

/// Events of a page, if nothing else is asked for, and at the most.
const SOME: i64 = 100;
const MOST: i64 = 1_000;
/// The years of which Postgres and every reader of RFC 3339 know.
const YEARS: std::ops::RangeInclusive<i16> = 1..=9999;

pub(super) fn routes() -> Router<Desk> {
    Router::new()
        .route("/v1/events", get(list))
        .route("/v1/events/{id}", get(one))
}

async fn list(State(desk): State<Desk>, mut asked: Asked) -> Result<Response, Problem> {
    let mut question = Question {
        after: asked.number("after", 0, i64::MAX - 1)?,
        before: asked.number("before", 1, i64::MAX)?,
        limit: asked.number("limit", 1, MOST)?.unwrap_or(SOME),
        to: asked.by("to", time)?,
        ..filters(&mut asked)?
    };
    if asked.flag("undispatched")? {
        let settings = desk.settings();
        let names = settings.webhooks.iter().map(|webhook| webhook.name.clone());
        question.owed_to = Some(names.collect());
    }
    let echo = asked.echo();
    asked.end()?;
    let answer = desk.ask(move |log| async move { question.ask(&log).await });
    written(&answer.await?, &echo)
}

/// The parameters that pages and streams have in common.
pub(super) fn filters(asked: &mut Asked) -> Result<Question, Problem> {
    let types = Types::read(asked.texts("type")).map_err(|what| Problem::bad("type", what))?;
    let question = Question {
        types,
        resource: asked.text("resource")?,
        resource_id: asked.text("resource_id")?,
        from: asked.by("from", time)?,
        ..Question::default()
    };
    if question.resource_id.is_some() && question.resource.is_none() {
        let detail = "resource_id means nothing without resource";
        return Err(Problem::bad("resource_id", detail));
    }
    Ok(question)
}

fn time(text: &str) -> Result<Timestamp, String> {
    match text.parse::<Timestamp>() {
        Ok(time) if YEARS.contains(&time.to_zoned(jiff::tz::TimeZone::UTC).year()) => Ok(time),
        _ => Err(format!(
            "{text:?} is not a time such as 2026-01-31T12:00:00Z"
        )),
    }
}

/// A page of events.
#[derive(Serialize)]
struct Written<'a> {
    events: Vec<View<'a>>,
    next: i64,
    previous: Option<i64>,
    more: bool,
}

fn written(page: &Page, echo: &str) -> Result<Response, Problem> {
    let document = Written {
        events: page.events.iter().map(View::from).collect(),
        next: page.next,
        previous: page.previous,
        more: page.more,
    };
    let text = serde_json::to_vec(&document).map_err(unprintable)?;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let link = |cursor: &str, id: i64, relation: &str| {
        format!("</v1/events?{echo}{cursor}={id}>; rel=\"{relation}\"")
    };
    let mut links = vec![link("after", page.next, "next")];
    links.extend(page.previous.map(|id| link("before", id, "prev")));
    if let Ok(links) = HeaderValue::from_str(&links.join(", ")) {
        headers.insert(header::LINK, links);
    }
    Ok((headers, text).into_response())
}

async fn one(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Response, Problem> {
    asked.end()?;
    let name: Name = id
        .parse()
        .map_err(|fault: Fault| Problem::bad("id", fault.cause()))?;
    let answer = desk.ask(move |log| async move { reading::one(&log, name).await });
    match answer.await? {
        Some(event) => single(&event),
        None => Err(Problem::not_found(format!("the log holds no event {id}"))),
    }
}

fn single(event: &Event) -> Result<Response, Problem> {
    let text = reading::compact(event)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

fn unprintable(error: serde_json::Error) -> Problem {
    Fault::permanent("a page of the log cannot be printed")
        .because(error)
        .into()
}
