//! `/healthz`, `/readyz`, `/metrics` and the public keys.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::metrics::Metrics;
use super::settings::{Api, Settings};
use crate::fault::{Fault, Result};
use crate::webhook::sign::jwks;

/// Takes the address.
///
/// # Errors
/// Permanent, if it cannot be had.
pub async fn bind(api: &Api) -> Result<TcpListener> {
    TcpListener::bind(api.listen).await.map_err(|error| {
        Fault::permanent(format!("cannot listen on {} (api.listen)", api.listen))
            .because(error)
            .next_step("choose a free address, or switch the API off with `listen = \"\"`")
    })
}

#[derive(Clone)]
struct Shown {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    settings: watch::Receiver<Arc<Settings>>,
}

/// Serves until asked to stop.
///
/// # Errors
/// Permanent, if the listener fails.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    settings: watch::Receiver<Arc<Settings>>,
    stop: CancellationToken,
) -> Result<()> {
    let router = Router::new()
        .route(
            "/healthz",
            get(|State(shown): State<Shown>| async move { answer(shown.health.alive()) }),
        )
        .route(
            "/readyz",
            get(|State(shown): State<Shown>| async move { answer(shown.health.ready()) }),
        )
        .route(
            "/metrics",
            get(|State(shown): State<Shown>| async move { page(&shown.metrics) }),
        )
        .route(
            "/.well-known/rowhook/jwks.json",
            get(|State(shown): State<Shown>| async move { public_keys(&shown.settings.borrow()) }),
        )
        .with_state(Shown {
            health,
            metrics,
            settings,
        });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(|error| Fault::permanent("the HTTP listener failed").because(error))
}

fn answer(state: Result<(), String>) -> (StatusCode, String) {
    match state {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

fn page(metrics: &Metrics) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metrics.text()).into_response()
}

/// Of the settings that hold now: a reload may have brought others.
fn public_keys(settings: &Settings) -> Response {
    let kind = "application/jwk-set+json";
    let set = jwks(settings.signing_keys());
    ([(header::CONTENT_TYPE, kind)], format!("{set}\n")).into_response()
}
