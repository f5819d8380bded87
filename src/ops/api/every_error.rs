//! Whatever goes wrong leaves as a problem document.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;

use super::Problem;
use super::probes::PLAIN;
use super::problem::PROBLEM_JSON;

/// Bytes that a path and its query may have.
const LONGEST_URI: usize = 8 << 10;

/// Answers a request; a panic, and what the router refuses by itself, as a problem document.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    if uri.to_string().len() > LONGEST_URI {
        let detail = format!("path and query are longer than {LONGEST_URI} bytes");
        return Problem::new(StatusCode::URI_TOO_LONG, "too_long", detail).into_response();
    }
    let Ok(response) = AssertUnwindSafe(next.run(request)).catch_unwind().await else {
        tracing::error!(%method, path = uri.path(), "a request to the API broke its handler");
        let detail = "rowhook broke over this request; its log has more";
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", detail).into_response();
    };
    let mut response = as_problem(&method, &uri, response);
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// No such path.
pub(super) async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
        .next_step("see /openapi.json for what there is")
}

/// An error that is no problem document becomes one, with the headers that it has.
fn as_problem(method: &Method, uri: &Uri, response: Response) -> Response {
    let status = response.status();
    let fine = !(status.is_client_error() || status.is_server_error());
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_plain = PLAIN.contains(&uri.path()) && status == StatusCode::SERVICE_UNAVAILABLE;
    if fine || is_plain || kind.is_some_and(|kind| kind == PROBLEM_JSON) {
        return response;
    }
    let path = uri.path();
    let (code, detail) = match status {
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", format!("{path} has no {method}")),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_long", "the body is too long".to_owned()),
        _ => ("refused", format!("{method} {path} is not understood")),
    };
    let mut problem = Problem::new(status, code, detail).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}
