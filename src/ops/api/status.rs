//! `GET /v1/status`: what `rowhook status --json` prints.

use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use serde_json::Value;

use super::openapi::Operation;
use super::{Asked, Desk, Json, Problem, Scope};
use crate::fault::Fault;
use crate::ops::commands::status::Status;

/// How long the source may take: it is not ours, and may be what is in trouble.
const WITHIN: Duration = Duration::from_secs(10);

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/v1/status", Scope::Read, get(status))
            .says("How far capture and webhooks have come, as `rowhook status --json` prints it.")
            .answers::<serde_json::Map<String, Value>>(),
    ]
}

async fn status(State(desk): State<Desk>, asked: Asked) -> Result<Json, Problem> {
    asked.end()?;
    let settings = desk.settings();
    let source = match tokio::time::timeout(WITHIN, desk.source()).await {
        Ok(source) => source?,
        Err(_) => return Err(silent().into()),
    };
    // The place among the readers is given back in time, too.
    let asking = desk.ask(move |log| async move {
        let asked = Status::ask(&settings, &source, &log);
        let status = tokio::time::timeout(WITHIN, asked).await;
        status.unwrap_or_else(|_| Err(silent()))
    });
    Ok(Json(asking.await?.as_json()))
}

fn silent() -> Fault {
    Fault::transient(format!(
        "the source does not answer within {} s",
        WITHIN.as_secs()
    ))
}
