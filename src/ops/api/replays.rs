//! `/v1/replays`: stored events that are sent again.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::sound;
use super::events::time;
use super::openapi::Operation;
use super::{Asked, Desk, Given, Json, Problem, Scope};
use crate::dispatch::replay::parse_rate;
use crate::event_log::replays::{self, Request, State as Standing};
use crate::ops::cli::Wanted;
use crate::ops::commands::replay::{as_json, asked_for};

type Object = serde_json::Map<String, Value>;

pub(super) fn operations() -> Vec<Operation> {
    let id = "The replay's number.";
    vec![
        Operation::get("/v1/replays", Scope::Read, get(list))
            .says("Every replay, the newest last.")
            .answers::<Listed>(),
        Operation::get("/v1/replays/{id}", Scope::Read, get(one))
            .says("One replay and how far it is.")
            .in_path::<i64>("id", id)
            .answers::<Object>(),
        Operation::post("/v1/replays", Scope::Operate, post(begin))
            .says("Sends stored events again to one webhook.")
            .takes::<Wish>()
            .creates::<Object>(),
        Operation::delete("/v1/replays/{id}", Scope::Operate, delete(cancel))
            .says("Ends a replay; what is delivered stays delivered.")
            .in_path::<i64>("id", id)
            .answers::<Object>(),
    ]
}

/// Replays.
#[derive(JsonSchema)]
#[schemars(rename = "Replays")]
struct Listed {
    /// As `rowhook replay list --json` prints them.
    #[expect(dead_code, reason = "only its schema is used")]
    replays: Vec<Object>,
}

/// Which events, and to whom.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReplayWish")]
struct Wish {
    /// The webhook that they go to.
    webhook: String,
    /// After this sequence id; 0 is the whole log.
    #[schemars(range(min = 0))]
    after: Option<i64>,
    /// Before this sequence id.
    #[schemars(range(min = 1))]
    before: Option<i64>,
    /// Committed at this time or later.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// Committed before this time.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
    /// Only types that one of these patterns covers, such as "orders.*".
    #[serde(default)]
    types: Vec<String>,
    /// Only of this resource.
    resource: Option<String>,
    /// Only of the resource with this key.
    resource_id: Option<String>,
    /// Only events for which this CEL expression holds.
    when: Option<String>,
    /// Requests at the most, such as "50/s", "600/m", "1000/h".
    rate: Option<String>,
}

impl Wish {
    fn check(&self) -> Result<(), Problem> {
        let texts = [
            ("webhook", Some(&self.webhook)),
            ("resource", self.resource.as_ref()),
            ("resource_id", self.resource_id.as_ref()),
            ("when", self.when.as_ref()),
        ];
        for (at, text) in texts {
            text.iter().try_for_each(|text| sound(at, text))?;
        }
        self.types
            .iter()
            .try_for_each(|text| sound("types", text))?;
        if self.resource_id.is_some() && self.resource.is_none() {
            let detail = "resource_id means nothing without resource";
            return Err(Problem::bad("resource_id", detail));
        }
        if self.after.is_some_and(|id| id < 0) {
            return Err(Problem::bad("after", "is less than 0"));
        }
        if self.before.is_some_and(|id| id < 1) {
            return Err(Problem::bad("before", "is less than 1"));
        }
        let is_bounded =
            self.after.or(self.before).is_some() || self.from.is_some() || self.to.is_some();
        if !(is_bounded || self.resource.is_some() || !self.types.is_empty()) {
            let problem = Problem::bad(
                "",
                "without a range or a filter, the whole log would be sent again",
            );
            return Err(problem
                .next_step("give from, after, types or resource; \"after\": 0 is the whole log"));
        }
        Ok(())
    }

    /// The same as the options of the command, and the rate.
    fn meant(self) -> Result<(Wanted, Option<f64>), Problem> {
        self.check()?;
        let read = |at: &'static str, text: Option<String>| {
            let time = text.map(|text| time(&text).map_err(|what| Problem::bad(at, what)));
            time.transpose()
        };
        let rate = self.rate.map(|text| parse_rate(&text)).transpose();
        let rate = rate.map_err(|what| Problem::bad("rate", what.to_string()))?;
        let wanted = Wanted {
            webhook: Some(self.webhook),
            from: read("from", self.from)?,
            to: read("to", self.to)?,
            after: self.after,
            before: self.before,
            types: self.types,
            resource: self.resource,
            resource_id: self.resource_id,
            when: self.when,
        };
        Ok((wanted, rate))
    }
}

async fn list(State(desk): State<Desk>, asked: Asked) -> Result<Json, Problem> {
    asked.end()?;
    let rows = desk.ask(|log| async move { replays::list(&log).await });
    let rows: Vec<Value> = rows.await?.iter().map(as_json).collect();
    Ok(Json(json!({ "replays": rows })))
}

async fn one(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Json, Problem> {
    asked.end()?;
    let id = number(&id)?;
    let row = desk.ask(move |log| async move { replays::of_id(&log, id).await });
    row.await?
        .map(|row| Json(as_json(&row)))
        .ok_or_else(|| unknown(id))
}

async fn begin(
    State(desk): State<Desk>,
    asked: Asked,
    Given(wish): Given<Wish>,
) -> Result<impl IntoResponse, Problem> {
    asked.end()?;
    let (settings, (wanted, per_second)) = (desk.settings(), wish.meant()?);
    let row = desk.operate(move |log| async move {
        let request = Request {
            per_second,
            ..asked_for(&settings, &log, &wanted).await?
        };
        if request.up_to <= request.after {
            let detail = "the log holds no event in this range";
            return Err(Problem::conflict("nothing_to_send", detail));
        }
        let id = replays::request(&log, &request).await?;
        replays::of_id(&log, id).await?.ok_or_else(|| unknown(id))
    });
    let row = row.await?;
    let location = [(header::LOCATION, format!("/v1/replays/{}", row.id))];
    Ok((StatusCode::CREATED, location, Json(as_json(&row))))
}

async fn cancel(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Json, Problem> {
    asked.end()?;
    let id = number(&id)?;
    desk.operate(move |log| async move {
        let reason = Some("cancelled by an operator");
        let ended = replays::end(&log, id, Standing::Cancelled, reason).await?;
        let row = replays::of_id(&log, id).await?.ok_or_else(|| unknown(id))?;
        if ended {
            return Ok(Json(as_json(&row)));
        }
        let detail = format!("replay {id} is not open: it is {}", row.state.as_str());
        Err(Problem::conflict("not_open", detail))
    })
    .await
}

fn number(text: &str) -> Result<i64, Problem> {
    text.parse()
        .map_err(|_| Problem::bad("id", format!("{text:?} is no number of a replay")))
}

fn unknown(id: i64) -> Problem {
    Problem::not_found(format!("there is no replay {id}")).next_step("/v1/replays lists them")
}
