//! What went wrong, as a problem document (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::fault::{Fault, Kind};

/// The media type of problem documents.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not done.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Document>);

/// A problem document.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Document {
    /// Always "about:blank": the status tells the kind, `code` tells it exactly.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "number")]
    #[schemars(with = "u16")]
    status: StatusCode,
    /// A word for programs, which does not change.
    code: &'static str,
    /// What is wrong with this request.
    detail: String,
    /// The parameter, member or header that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<String>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem with its word for programs and a sentence.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Document {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            code,
            detail: detail.into(),
            at: None,
            next_step: None,
            retry_after: None,
        }))
    }

    /// The request says what it may not say, at this parameter or member.
    pub(crate) fn bad(at: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_value", detail).at(at)
    }

    /// There is no such thing.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// It does not go with how things stand.
    pub(crate) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// It could be done a little later.
    pub(crate) fn busy(code: &'static str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.0.retry_after = Some(Duration::from_secs(1));
        problem
    }

    /// Names the parameter, member or header.
    #[must_use]
    pub(crate) fn at(mut self, at: impl Into<String>) -> Self {
        self.0.at = Some(at.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn next_step(mut self, step: impl Into<String>) -> Self {
        self.0.next_step = Some(step.into());
        self
    }
}

/// What commands and the API ask alike fails alike.
impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let cause = fault.cause();
        let problem = match fault.kind() {
            Kind::Settings => Self::new(StatusCode::BAD_REQUEST, "bad_value", cause),
            Kind::Transient => Self::busy("unavailable", cause),
            Kind::Permanent | Kind::Fenced => {
                tracing::warn!(error = %cause, "a request to the API failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", cause)
            }
        };
        match fault.advice() {
            Some(step) => problem.next_step(step),
            None => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response =
            (self.0.status, [(header::CONTENT_TYPE, PROBLEM_JSON)], text).into_response();
        if let Some(after) = self.0.retry_after {
            let seconds = HeaderValue::from(after.as_secs());
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
