//! `/v1/deliveries`: what waits and what is dead; sent again or given up.

use axum::extract::State;
use axum::routing::{get, post};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::sound;
use super::openapi::Operation;
use super::{Asked, Desk, Given, Json, Problem, Scope};
use crate::event_log::requests::Request;
use crate::ops::cli::Output;
use crate::ops::commands::deliveries::{DeliveryState, Retry, Which, as_json, ask, chosen};

type Object = serde_json::Map<String, Value>;

/// Deliveries of a list, if nothing else is asked for, and at the most.
const SOME: i64 = 50;
const MOST: i64 = 1_000;
/// Events that may be named at once.
const NAMED: usize = 1_000;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/v1/deliveries", Scope::Read, get(list))
            .says("Deliveries that wait for a retry and dead ones.")
            .in_query::<String>("webhook", "Only of this webhook.")
            .in_query::<Standing>("state", "Only in this state.")
            .in_query::<String>("type", "Only of events of this type.")
            .in_query::<String>("resource", "Only of this resource.")
            .in_query::<String>("resource_id", "Only of the resource with this key.")
            .in_query::<String>("reason", "Only where the reason holds these words.")
            .number("limit", "How many at the most.", 1, MOST)
            .answers::<Listed>(),
        Operation::post("/v1/deliveries/retry", Scope::Operate, post(retry))
            .says("Sends deliveries again: dead ones with fresh attempts, waiting ones at once.")
            .takes::<Wish>()
            .answers::<Object>(),
        Operation::post("/v1/deliveries/discard", Scope::Operate, post(discard))
            .says("Gives deliveries up for good.")
            .takes::<Wish>()
            .answers::<Object>(),
    ]
}

/// Deliveries.
#[derive(JsonSchema)]
#[schemars(rename = "Deliveries")]
struct Listed {
    /// As `rowhook deliveries list --json` prints them.
    #[expect(dead_code, reason = "only its schema is used")]
    deliveries: Vec<Object>,
}

/// A delivery's state.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "DeliveryState")]
enum Standing {
    /// It is tried again.
    Waiting,
    /// It was given up.
    Dead,
}

/// Which deliveries. Everything that is given has to hold.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "DeliveriesWish")]
struct Wish {
    /// Event ids or sequence ids.
    #[schemars(length(max = 1000))]
    events: Vec<String>,
    /// Only of this webhook.
    webhook: Option<String>,
    /// Only in this state.
    state: Option<Standing>,
    /// Only of events of this type.
    r#type: Option<String>,
    /// Only of this resource.
    resource: Option<String>,
    /// Only of the resource with this key.
    resource_id: Option<String>,
    /// Only where the reason holds these words.
    reason: Option<String>,
    /// Every delivery, where nothing else says which.
    all: bool,
    /// Counts them, and does nothing.
    dry_run: bool,
}

impl Wish {
    /// The same as the options of the command.
    fn meant(self) -> Result<Retry, Problem> {
        let texts = [
            ("webhook", &self.webhook),
            ("type", &self.r#type),
            ("resource", &self.resource),
            ("resource_id", &self.resource_id),
            ("reason", &self.reason),
        ];
        for (at, text) in texts {
            text.iter().try_for_each(|text| sound(at, text))?;
        }
        if self.resource_id.is_some() && self.resource.is_none() {
            let detail = "resource_id means nothing without resource";
            return Err(Problem::bad("resource_id", detail));
        }
        if self.events.len() > NAMED {
            return Err(Problem::bad("events", format!("names more than {NAMED}")));
        }
        let says_which = texts.iter().any(|(_, text)| text.is_some())
            || self.state.is_some()
            || !self.events.is_empty();
        if !says_which && !self.all {
            let problem = Problem::bad("", "nothing says which deliveries are meant");
            return Err(problem
                .next_step("name events or give a filter; \"all\": true means every delivery"));
        }
        Ok(Retry {
            events: self.events,
            which: Which {
                webhook: self.webhook,
                state: self.state.map(|state| match state {
                    Standing::Waiting => DeliveryState::Waiting,
                    Standing::Dead => DeliveryState::Dead,
                }),
                event_type: self.r#type,
                resource: self.resource,
                resource_id: self.resource_id,
                reason: self.reason,
            },
            all: self.all,
            dry_run: self.dry_run,
            output: Output { json: true },
        })
    }
}

async fn list(State(desk): State<Desk>, mut asked: Asked) -> Result<Json, Problem> {
    let limit = asked.number("limit", 1, MOST)?.unwrap_or(SOME);
    let wish = Wish {
        webhook: asked.text("webhook")?,
        state: asked.by("state", |text| match text {
            "waiting" => Ok(Standing::Waiting),
            "dead" => Ok(Standing::Dead),
            _ => Err(format!("{text:?} is neither waiting nor dead")),
        })?,
        r#type: asked.text("type")?,
        resource: asked.text("resource")?,
        resource_id: asked.text("resource_id")?,
        reason: asked.text("reason")?,
        all: true,
        ..Wish::default()
    };
    asked.end()?;
    let (options, settings) = (wish.meant()?, desk.settings());
    let found = desk.ask(move |log| async move {
        let chosen = chosen(&settings, &log, &options).await?;
        chosen.list(&log, limit).await
    });
    let found: Vec<Value> = found.await?.iter().map(as_json).collect();
    Ok(Json(json!({ "deliveries": found })))
}

async fn retry(
    State(desk): State<Desk>,
    asked: Asked,
    Given(wish): Given<Wish>,
) -> Result<Json, Problem> {
    asked.end()?;
    request(&desk, wish, Request::Retry).await
}

async fn discard(
    State(desk): State<Desk>,
    asked: Asked,
    Given(wish): Given<Wish>,
) -> Result<Json, Problem> {
    asked.end()?;
    request(&desk, wish, Request::Discard).await
}

async fn request(desk: &Desk, wish: Wish, request: Request) -> Result<Json, Problem> {
    let (options, settings) = (wish.meant()?, desk.settings());
    desk.request(move |log| async move {
        let chosen = chosen(&settings, &log, &options).await?;
        Ok(Json(ask(&log, &chosen, request, options.dry_run).await?))
    })
    .await
}
