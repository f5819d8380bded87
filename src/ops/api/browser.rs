//! Refuses what a foreign web page could make someone's browser send.
//!
//! A page cannot know a token. Where none is asked for, a browser on the same machine would do what
//! any page tells it: so such a request must name us by an address, which no page can redirect here
//! ("DNS rebinding"), and must not come from a page of elsewhere.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::{Desk, Problem};

/// Lets through what no foreign page can have sent.
pub(super) async fn check(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    match refused(request.headers(), !desk.tokens().is_empty()) {
        None => next.run(request).await,
        Some(problem) => problem.into_response(),
    }
}

fn refused(headers: &HeaderMap, asks_for_a_token: bool) -> Option<Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").and_then(|host| host.parse::<Authority>().ok());
    if !asks_for_a_token
        && !host
            .as_ref()
            .is_some_and(|host| is_unmistakable(host.host()))
    {
        let detail = "without tokens in the settings, the Host has to be an address or localhost";
        let problem = Problem::new(StatusCode::MISDIRECTED_REQUEST, "host", detail);
        return Some(
            problem
                .at("Host")
                .next_step("set api.token in the settings"),
        );
    }
    let foreign = |detail: &str| Problem::new(StatusCode::FORBIDDEN, "foreign_page", detail);
    if let Some(site) = text("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return Some(foreign("a web page of another origin sent this").at("Sec-Fetch-Site"));
    }
    let origin = headers.get(header::ORIGIN)?;
    let origin = origin.to_str().ok().and_then(|origin| {
        let (_, authority) = origin.split_once("://")?;
        authority.parse::<Authority>().ok()
    });
    if origin.is_some() && origin == host {
        return None;
    }
    Some(foreign("a web page of another origin sent this").at("Origin"))
}

/// An address, or the one name that never leads elsewhere (RFC 6761).
fn is_unmistakable(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(headers: &[(&'static str, &str)], asks_for_a_token: bool) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                value.parse().unwrap(),
            )
        });
        refused(&headers.collect(), asks_for_a_token).is_some()
    }

    #[test]
    fn a_name_that_could_lead_anywhere_is_refused_where_no_token_is_asked_for() {
        for host in [
            "127.0.0.1:8655",
            "localhost:8655",
            "LOCALHOST",
            "[::1]:8655",
            "10.0.0.7",
        ] {
            assert!(!is_refused(&[("host", host)], false), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:8655",
            "127.0.0.1.nip.io",
            "",
            "a b",
        ] {
            assert!(is_refused(&[("host", host)], false), "{host}");
            assert!(!is_refused(&[("host", host)], true), "{host}");
        }
        assert!(is_refused(&[], false));
    }

    #[test]
    fn a_page_of_elsewhere_is_refused() {
        let ours = ("host", "127.0.0.1:8655");
        for token in [false, true] {
            assert!(!is_refused(
                &[ours, ("origin", "http://127.0.0.1:8655")],
                token
            ));
            assert!(!is_refused(&[ours, ("sec-fetch-site", "none")], token));
            for origin in [
                "https://evil.example",
                "http://127.0.0.1:1",
                "null",
                "",
                "http://",
            ] {
                assert!(is_refused(&[ours, ("origin", origin)], token), "{origin}");
            }
            for site in ["cross-site", "same-site"] {
                assert!(
                    is_refused(&[ours, ("sec-fetch-site", site)], token),
                    "{site}"
                );
            }
        }
    }
}
