//! Bodies: JSON, read strictly and written.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Problem;
use crate::fault::Fault;

/// How long a body may take to arrive.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a text in it.
const LONGEST_TEXT: usize = 4_000;

/// What the body says. It has to be sent as JSON: a browser does not send that to another origin
/// without asking first. An empty one counts as `{}`.
pub(crate) struct Given<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body has to be sent with Content-Type: application/json";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "not_json", detail).at("Content-Type"));
        }
        let bytes = tokio::time::timeout(WITHIN, Bytes::from_request(request, state)).await;
        let bytes = bytes.map_err(|_| {
            let detail = format!("the body did not arrive within {} s", WITHIN.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "slow", detail)
        })?;
        let bytes = bytes.map_err(|rejection| match rejection.into_response().status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!("the body is longer than {} bytes", super::LONGEST_BODY);
                Problem::new(status, "too_long", detail)
            }
            status => Problem::new(status, "unread", "the body cannot be read"),
        })?;
        read(&bytes).map(Self)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    // A list of members would do for serde.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let detail = "the body is no JSON object";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "not_json", detail));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let code = if error.is_data() {
            "bad_value"
        } else {
            "not_json"
        };
        Problem::new(StatusCode::BAD_REQUEST, code, format!("the body: {error}"))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// An answer in JSON.
pub(crate) struct Json(pub(crate) Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        (
            [(header::CONTENT_TYPE, "application/json")],
            self.0.to_string(),
        )
            .into_response()
    }
}

/// The same, written already.
pub(crate) struct Written(pub(super) String);

impl Written {
    /// Writes what may hold JSON that stays as it is.
    ///
    /// # Errors
    /// If it is no JSON.
    pub(crate) fn of(document: &impl Serialize) -> Result<Self, Problem> {
        serde_json::to_string(document).map(Self).map_err(|error| {
            Fault::permanent("an answer cannot be written")
                .because(error)
                .into()
        })
    }
}

impl IntoResponse for Written {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// Refuses a text that says nothing, is endless, or that Postgres cannot hold.
pub(super) fn sound(at: &str, text: &str) -> Result<(), Problem> {
    if text.is_empty() || text.len() > LONGEST_TEXT || text.contains('\0') {
        let detail = format!("{at}: needs 1 to {LONGEST_TEXT} bytes, and no zero among them");
        return Err(Problem::bad(at, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        #[serde(default)]
        n: i64,
    }

    #[test]
    fn a_body_is_read_strictly() {
        assert_eq!(read::<Wish>(b"").unwrap().n, 0);
        assert_eq!(read::<Wish>(b"{\"n\": 7}").unwrap().n, 7);
        for wrong in [
            &b"{\"m\": 1}"[..],
            b"{\"n\": \"7\"}",
            b"{\"n\": 1, \"n\": 2}",
            b"[]",
            b"null",
            b"{",
            b"{} x",
            b"\xff",
        ] {
            assert!(read::<Wish>(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn json_goes_by_its_name() {
        for (kind, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("text/plain; application/json", false),
            ("application/x-www-form-urlencoded", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
