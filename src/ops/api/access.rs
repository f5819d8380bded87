//! Bearer tokens (RFC 6750) and what they open.

use std::fmt;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ring::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Desk, Problem};
use crate::secret::Secret;

/// What a token may be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Reading events, status, subscriptions, deliveries and replays.
    Read,
    /// Putting events into the log.
    Emit,
    /// Pausing and resuming webhooks; retrying, discarding and replaying deliveries.
    Operate,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Read, Self::Emit, Self::Operate];

    /// The word in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Emit => "emit",
            Self::Operate => "operate",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What operators call it.
    pub name: String,
    /// What the client shows.
    pub secret: Secret,
    /// What it opens.
    pub scopes: Vec<Scope>,
}

/// Lets through who may do what the scope is about.
pub(super) async fn check(
    State((desk, scope)): State<(Desk, Scope)>,
    request: Request,
    next: Next,
) -> Response {
    match allowed(&desk.tokens(), scope, request.headers(), desk.comparing()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Why someone is not let through.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// Nobody said who they are.
    NoToken(Scope),
    /// Nobody can: there are no tokens.
    NoTokens(Scope),
    /// A token that is none of ours.
    WrongToken,
    /// One of ours that does not open this.
    Scope(Scope, String),
}

/// Without any token in the settings reading is open: the listener is on loopback then.
fn allowed(
    tokens: &[Token],
    scope: Scope,
    headers: &HeaderMap,
    comparing: &hmac::Key,
) -> Result<(), Refusal> {
    if tokens.is_empty() {
        return match scope {
            Scope::Read => Ok(()),
            scope => Err(Refusal::NoTokens(scope)),
        };
    }
    let shown = headers
        .get(header::AUTHORIZATION)
        .ok_or(Refusal::NoToken(scope))?;
    let shown = bearer(shown).ok_or(Refusal::WrongToken)?;
    let shown = hmac::sign(comparing, shown);
    // Every one is compared, and the tags under a key that nobody knows: the time taken tells nothing.
    let mut fitting = None;
    for token in tokens {
        let same = hmac::verify(comparing, token.secret.expose().as_bytes(), shown.as_ref());
        if same.is_ok() {
            fitting = Some(token);
        }
    }
    let token = fitting.ok_or(Refusal::WrongToken)?;
    if token.scopes.contains(&scope) {
        Ok(())
    } else {
        Err(Refusal::Scope(scope, token.name.clone()))
    }
}

/// The token of `Bearer TOKEN`; the scheme in any letters, as RFC 9110 has it.
fn bearer(shown: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = shown.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

impl Refusal {
    fn into_response(self) -> Response {
        let (problem, challenge) = match self {
            Self::NoToken(scope) => {
                let detail = format!("this needs a token with the scope {scope}");
                let problem = Problem::new(StatusCode::UNAUTHORIZED, "no_token", detail)
                    .next_step("send `Authorization: Bearer TOKEN`");
                (problem, "Bearer realm=\"rowhook\"".to_owned())
            }
            Self::NoTokens(scope) => {
                let detail = format!(
                    "this needs a token with the scope {scope}, and there are no tokens in the settings"
                );
                let problem = Problem::new(StatusCode::UNAUTHORIZED, "no_token", detail)
                    .next_step("set api.token in the settings; `openssl rand -hex 32` makes one");
                (problem, "Bearer realm=\"rowhook\"".to_owned())
            }
            Self::WrongToken => {
                let detail = "the token is none of those in the settings";
                let problem = Problem::new(StatusCode::UNAUTHORIZED, "wrong_token", detail);
                let challenge = "Bearer realm=\"rowhook\", error=\"invalid_token\"";
                (problem, challenge.to_owned())
            }
            Self::Scope(scope, name) => {
                let detail = format!("token \"{name}\" does not have the scope {scope}");
                let problem = Problem::new(StatusCode::FORBIDDEN, "scope", detail).next_step(
                    format!("use another token, or add \"{scope}\" to its scopes in api.tokens"),
                );
                let challenge = format!(
                    "Bearer realm=\"rowhook\", error=\"insufficient_scope\", scope=\"{scope}\""
                );
                (problem, challenge)
            }
        };
        let mut response = problem.at("Authorization").into_response();
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tokens: &[Token], scope: Scope, shown: Option<&str>) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        if let Some(shown) = shown {
            headers.insert(header::AUTHORIZATION, shown.parse().unwrap());
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"any");
        allowed(tokens, scope, &headers, &key)
    }

    fn token(name: &str, secret: &str, scopes: &[Scope]) -> Token {
        Token {
            name: name.to_owned(),
            secret: Secret::new(secret),
            scopes: scopes.to_vec(),
        }
    }

    #[test]
    fn without_tokens_reading_is_open_and_nothing_else() {
        assert_eq!(asked(&[], Scope::Read, None), Ok(()));
        for scope in [Scope::Emit, Scope::Operate] {
            assert_eq!(asked(&[], scope, None), Err(Refusal::NoTokens(scope)));
            let any = asked(&[], scope, Some("Bearer x"));
            assert_eq!(any, Err(Refusal::NoTokens(scope)));
        }
    }

    #[test]
    fn a_token_opens_its_scopes_alone() {
        let tokens = [
            token("all", "aaaa", &Scope::ALL),
            token("reader", "rrrr", &[Scope::Read]),
        ];
        for scope in Scope::ALL {
            assert_eq!(asked(&tokens, scope, Some("Bearer aaaa")), Ok(()));
            assert_eq!(asked(&tokens, scope, Some("bEARER  aaaa")), Ok(()));
            assert_eq!(asked(&tokens, scope, None), Err(Refusal::NoToken(scope)));
            for wrong in [
                "Bearer aaa",
                "Bearer aaaaa",
                "Bearer ",
                "Basic aaaa",
                "aaaa",
                "Beareraaaa",
            ] {
                let refusal = asked(&tokens, scope, Some(wrong));
                assert_eq!(refusal, Err(Refusal::WrongToken), "{wrong}");
            }
        }
        assert_eq!(asked(&tokens, Scope::Read, Some("Bearer rrrr")), Ok(()));
        assert_eq!(
            asked(&tokens, Scope::Operate, Some("Bearer rrrr")),
            Err(Refusal::Scope(Scope::Operate, "reader".to_owned()))
        );
    }
}
