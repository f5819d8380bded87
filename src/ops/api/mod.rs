//! The HTTP API: probes and metrics, the log for readers, and what operators ask for.
//!
//! ```text
//! listener ──▶ every_error ──▶ browser ──▶ access (a scope per route) ──▶ handler ──▶ desk ──▶ log
//! ```
//!
//! * `listener`: accepts connections, and bounds them.
//! * `every_error`: whatever goes wrong leaves as a problem document (RFC 9457), a panic too.
//! * `browser`: refuses what a foreign web page could make a browser send.
//! * `access`: bearer tokens and their scopes.
//! * `query`, `body`: what a request may say, read strictly.
//! * `events`, `stream`: the log, by page and as it grows.
//! * `status`, `subscriptions`, `deliveries`, `replays`: what the commands of these names do.
//! * `emitting`: events of the application's own.
//! * `openapi`: every operation with its description, which is the OpenAPI document.
//! * `held`: answers that wait for their clients, and the memory for them.
//! * `desk`: what handlers work with; its few connections to the log.

mod access;
mod body;
mod browser;
mod deliveries;
mod desk;
mod emitting;
mod events;
mod every_error;
mod held;
mod listener;
mod openapi;
mod probes;
mod problem;
mod query;
mod replays;
mod status;
mod stream;
mod subscriptions;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use access::{Scope, Token};
pub(crate) use body::{Given, Json};
pub use desk::{Desk, Parts};
pub use listener::bind;
pub(crate) use openapi::Operation;
pub(crate) use problem::Problem;
pub(crate) use query::Asked;

use crate::fault::Result;

/// Bytes that a request's body may have.
const LONGEST_BODY: usize = 1 << 20;

/// Serves until asked to stop.
///
/// # Errors
/// Permanent, if the listener fails.
pub async fn serve(listener: TcpListener, parts: Parts, stop: CancellationToken) -> Result<()> {
    let desk = Desk::new(parts, stop.clone())?;
    let (outcome, ()) = tokio::join!(
        listener::serve(listener, router(&desk), stop),
        stream::Fanout::run(&desk)
    );
    outcome
}

/// Every route. What belongs to a scope is refused to whoever does not have it.
fn router(desk: &Desk) -> Router {
    let scoped = |scope, routes: Router<Desk>| match routes.has_routes() {
        true => routes.route_layer(from_fn_with_state((desk.clone(), scope), access::check)),
        false => routes,
    };
    let operations = operations();
    let document = openapi::document(&operations);
    let routes = operations
        .into_iter()
        .map(|operation| scoped(operation.scope, operation.route()))
        .fold(Router::new(), Router::merge);
    routes
        .layer(from_fn_with_state(desk.clone(), browser::check))
        .merge(probes::routes())
        .merge(openapi::routes(document))
        .fallback(every_error::nothing_here)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn(every_error::answer))
        .with_state(desk.clone())
}

/// What the OpenAPI document describes is what is served.
fn operations() -> Vec<Operation> {
    let mut operations = events::operations();
    operations.extend(stream::operations());
    operations.extend(status::operations());
    operations.extend(subscriptions::operations());
    operations.extend(deliveries::operations());
    operations.extend(replays::operations());
    operations.extend(emitting::operations());
    operations
}
