//! `GET /v1/events` and `GET /v1/events/{id}`.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::held::SetAside;
use super::{Asked, Desk, Operation, Problem, Scope};
use crate::fault::Fault;
use crate::ops::reading::{self, Name, Page, Question, Types, View};

/// Events of a page, if nothing else is asked for, and at the most.
const SOME: i64 = 100;
const MOST: i64 = 1_000;
/// The years of which Postgres and every reader of RFC 3339 know.
const YEARS: std::ops::RangeInclusive<i16> = 1..=9999;

pub(super) fn operations() -> Vec<Operation> {
    let page = Operation::get("/v1/events", Scope::Read, get(list))
        .says("A page of events in the order of the log: those after an event, or the newest ones.")
        .number("after", "After this sequence id.", 0, i64::MAX - 1)
        .number("before", "Before this sequence id.", 1, i64::MAX)
        .number(
            "limit",
            "How many at the most; 100 if it is not said.",
            1,
            MOST,
        );
    vec![
        filtered(page)
            .in_query::<Time>("to", "Committed before this time.")
            .in_query::<bool>(
                "undispatched",
                "Only events after a webhook's cursor, or with a delivery that waits for a retry.",
            )
            .answers::<Written<'_>>(),
        Operation::get("/v1/events/{id}", Scope::Read, get(one))
            .says("One event.")
            .in_path::<String>("id", "Its event id or sequence id.")
            .answers::<View<'_>>(),
    ]
}

/// The parameters that pages and streams have in common.
pub(super) fn filtered(operation: Operation) -> Operation {
    operation
        .in_query::<Vec<String>>(
            "type",
            "Of a type that one of these patterns covers: `orders.*`.",
        )
        .in_query::<String>("resource", "Of this resource.")
        .in_query::<String>("resource_id", "With this key; needs `resource`.")
        .in_query::<Time>("from", "Committed at this time or later.")
}

/// A time as RFC 3339 has it.
#[derive(JsonSchema)]
#[schemars(inline, extend("format" = "date-time"))]
pub(super) struct Time(#[expect(dead_code, reason = "only its schema is used")] String);

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
    let set_aside = desk.set_aside().await?;
    let answer = desk.ask(move |log| async move { question.ask(&log).await });
    written(&answer.await?, &echo, set_aside)
}

/// Reads them.
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

pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    match text.parse::<Timestamp>() {
        Ok(time) if YEARS.contains(&time.to_zoned(jiff::tz::TimeZone::UTC).year()) => Ok(time),
        _ => Err(format!(
            "{text:?} is not a time such as 2026-01-31T12:00:00Z"
        )),
    }
}

/// A page of events.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Events")]
struct Written<'a> {
    /// In ascending order.
    events: Vec<View<'a>>,
    /// Goes on when it is given as `after`: everything up to it has been looked at.
    next: i64,
    /// Goes back when it is given as `before`; null where nothing older fits.
    previous: Option<i64>,
    /// Whether there may be more in this direction already.
    more: bool,
}

fn written(page: &Page, echo: &str, set_aside: SetAside) -> Result<Response, Problem> {
    let document = Written {
        events: page.events.iter().map(View::from).collect(),
        next: page.next,
        previous: page.previous,
        more: page.more,
    };
    let text = serde_json::to_vec(&document).map_err(unprintable)?;
    let link = |cursor: &str, id: i64, relation: &str| {
        format!("</v1/events?{echo}{cursor}={id}>; rel=\"{relation}\"")
    };
    let mut links = vec![link("after", page.next, "next")];
    links.extend(page.previous.map(|id| link("before", id, "prev")));
    let mut response = set_aside.json(text);
    if let Ok(links) = HeaderValue::from_str(&links.join(", ")) {
        response.headers_mut().insert(header::LINK, links);
    }
    Ok(response)
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
    let set_aside = desk.set_aside().await?;
    let answer = desk.ask(move |log| async move { reading::one(&log, name).await });
    match answer.await? {
        Some(event) => Ok(set_aside.json(reading::compact(&event)?.into_bytes())),
        None => Err(Problem::not_found(format!("the log holds no event {id}"))),
    }
}

fn unprintable(error: serde_json::Error) -> Problem {
    Fault::permanent("a page of the log cannot be printed")
        .because(error)
        .into()
}
