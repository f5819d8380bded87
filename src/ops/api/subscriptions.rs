//! `/v1/subscriptions`: webhooks and how far they are; pausing and resuming them.

use axum::extract::{Path, State};
use axum::routing::{get, post};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::sound;
use super::openapi::Operation;
use super::{Asked, Desk, Given, Json, Problem, Scope};
use crate::event_log::deliveries;
use crate::ops::commands::{status, webhooks};

type Object = serde_json::Map<String, Value>;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/v1/subscriptions", Scope::Read, get(list))
            .says(
                "Every webhook that was ever served, as `rowhook webhooks list --json` prints it.",
            )
            .answers::<Listed>(),
        Operation::get("/v1/subscriptions/{name}", Scope::Read, get(one))
            .says("One webhook.")
            .in_path::<String>("name", "The webhook's name.")
            .answers::<Object>(),
        Operation::post(
            "/v1/subscriptions/{name}/pause",
            Scope::Operate,
            post(pause),
        )
        .says("Stops deliveries; events wait in the log.")
        .in_path::<String>("name", "The webhook's name.")
        .takes::<Pause>()
        .answers::<Object>(),
        Operation::post(
            "/v1/subscriptions/{name}/resume",
            Scope::Operate,
            post(resume),
        )
        .says("Goes on with deliveries.")
        .in_path::<String>("name", "The webhook's name.")
        .takes::<Resume>()
        .answers::<Object>(),
    ]
}

/// Webhooks.
#[derive(JsonSchema)]
#[schemars(rename = "Subscriptions")]
struct Listed {
    /// As `rowhook webhooks list --json` prints them.
    #[expect(dead_code, reason = "only its schema is used")]
    subscriptions: Vec<Object>,
}

/// Why a webhook is paused.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Pause {
    /// For whoever looks at it later.
    #[schemars(length(min = 1, max = 1000), regex(pattern = r"^[^\x00]*$"))]
    reason: String,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            reason: "paused by an operator".to_owned(),
        }
    }
}

/// Nothing more to say.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resume {}

async fn list(State(desk): State<Desk>, asked: Asked) -> Result<Json, Problem> {
    asked.end()?;
    Ok(Json(json!({ "subscriptions": all(&desk).await? })))
}

async fn all(desk: &Desk) -> Result<Vec<Value>, Problem> {
    let settings = desk.settings();
    desk.ask(move |log| async move { status::webhooks(&log, &settings).await })
        .await
}

async fn one(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    asked: Asked,
) -> Result<Json, Problem> {
    asked.end()?;
    let found = all(&desk)
        .await?
        .into_iter()
        .find(|webhook| webhook["name"] == *name);
    found.map(Json).ok_or_else(|| unknown(&name))
}

async fn pause(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    asked: Asked,
    Given(Pause { reason }): Given<Pause>,
) -> Result<Json, Problem> {
    asked.end()?;
    sound("reason", &reason)?;
    set(&desk, name, Some(reason)).await
}

async fn resume(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    asked: Asked,
    Given(Resume {}): Given<Resume>,
) -> Result<Json, Problem> {
    asked.end()?;
    set(&desk, name, None).await
}

async fn set(desk: &Desk, name: String, reason: Option<String>) -> Result<Json, Problem> {
    let settings = desk.settings();
    // A replay has a cursor among the subscriptions, and is cancelled instead.
    if webhooks::named(&settings, &name).is_err() {
        return Err(unknown(&name));
    }
    desk.operate(move |log| async move {
        match deliveries::set_paused(&log, &name, reason.as_deref()).await? {
            Some(since) => Ok(Json(json!({
                "name": name,
                "state": if reason.is_some() { "paused" } else { "active" },
                "reason": reason,
                "since": since.to_string(),
            }))),
            None => {
                let detail = format!("webhook \"{name}\" has not been served yet");
                Err(Problem::conflict("not_served", detail))
            }
        }
    })
    .await
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!("there is no webhook {name:?}"))
        .next_step("/v1/subscriptions lists them")
}
