//! `GET /v1/status`: what `rowhook status --json` prints.

use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use serde_json::Value;

use super::openapi::Operation;
use super::{Asked, Desk, Json, Problem, Scope};
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
    let asking = async {
        let source = desk.source().await?;
        desk.ask(move |log| async move { Status::ask(&settings, &source, &log).await })
            .await
    };
    match tokio::time::timeout(WITHIN, asking).await {
        Ok(status) => Ok(Json(status?.as_json())),
        Err(_) => Err(Problem::busy("unavailable", "the source does not answer")),
    }
}
