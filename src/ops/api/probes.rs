//! `/healthz`, `/readyz`, `/metrics` and the public keys: open to whoever reaches the listener.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Desk;
use crate::webhook::sign::jwks;

/// The routes of which 503 has a plain sentence: a person or a probe reads it.
pub(super) const PLAIN: [&str; 2] = ["/healthz", "/readyz"];

pub(super) fn routes() -> Router<Desk> {
    Router::new()
        .route(
            "/healthz",
            get(|State(desk): State<Desk>| async move { answer(desk.health().alive()) }),
        )
        .route(
            "/readyz",
            get(|State(desk): State<Desk>| async move { answer(desk.health().ready()) }),
        )
        .route("/metrics", get(metrics))
        .route("/.well-known/rowhook/jwks.json", get(public_keys))
}

fn answer(state: Result<(), String>) -> (StatusCode, String) {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(desk): State<Desk>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], desk.metrics().text()).into_response()
}

/// Of the settings that hold now: a reload may have brought others.
async fn public_keys(State(desk): State<Desk>) -> Response {
    let kind = "application/jwk-set+json";
    let set = jwks(desk.settings().signing_keys());
    ([(header::CONTENT_TYPE, kind)], format!("{set}\n")).into_response()
}
