//! `[api]`

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Reader;
use crate::ops::api::{Scope, Token};
use crate::ops::settings::Api;
use crate::ops::settings::file::{self, SecretRef};
use crate::secret::Secret;

/// Letters of the shortest token: what is shorter can be guessed.
const SHORTEST: usize = 16;
/// The name of the token that opens everything.
const THE_TOKEN: &str = "token";

impl Reader<'_> {
    /// The outer `None` comes with a problem, the inner one is a listener that is switched off.
    #[expect(clippy::option_option, reason = "two different things are missing")]
    pub(super) fn api(&mut self, written: &file::Api) -> Option<Option<Api>> {
        let listen = self.problems.take("api.listen", listen(&written.listen));
        let tokens = self.tokens(written);
        let (listen, tokens) = (listen?, tokens?);
        let Some(listen) = listen else {
            return Some(None);
        };
        if !listen.ip().is_loopback() && tokens.is_empty() {
            let what = format!(
                "{listen} can be reached from other machines, and there is no token; set api.token \
                 (`openssl rand -hex 32` makes one), or listen on 127.0.0.1 or [::1]"
            );
            self.problems.refuse("api.listen", what);
            return None;
        }
        Some(Some(Api { listen, tokens }))
    }

    fn tokens(&mut self, written: &file::Api) -> Option<Vec<Token>> {
        let mut names = BTreeSet::from([THE_TOKEN]);
        let mut tokens = Vec::new();
        if let Some(secret) = &written.token {
            let secret = self.token_secret("api.token", secret);
            tokens.push(secret.map(|secret| Token {
                name: THE_TOKEN.to_owned(),
                secret,
                scopes: Scope::ALL.to_vec(),
            }));
        }
        for (index, token) in written.tokens.iter().enumerate() {
            let at = format!("api.tokens[{index}]");
            if token.name.is_empty() || !names.insert(&token.name) {
                let what = format!("{:?} is empty, or the name of another token", token.name);
                self.problems.refuse(&format!("{at}.name"), what);
            }
            if token.scopes.is_empty() {
                let what = "opens nothing; name some of \"read\", \"emit\", \"operate\"";
                self.problems.refuse(&format!("{at}.scopes"), what);
            }
            let secret = self.token_secret(&format!("{at}.secret"), &token.secret);
            tokens.push(secret.map(|secret| Token {
                name: token.name.clone(),
                secret,
                scopes: token.scopes.clone(),
            }));
        }
        let tokens: Vec<Token> = tokens.into_iter().collect::<Option<_>>()?;
        let mut secrets: Vec<&str> = tokens.iter().map(|token| token.secret.expose()).collect();
        secrets.sort_unstable();
        if secrets
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a == b))
        {
            self.problems
                .refuse("api.tokens", "two of them are the same");
        }
        Some(tokens)
    }

    fn token_secret(&mut self, at: &str, written: &SecretRef) -> Option<Secret> {
        let secret = self.secret(at, written)?;
        let text = secret.expose();
        let what = if text.len() < SHORTEST {
            Some(format!(
                "is shorter than {SHORTEST} letters; `openssl rand -hex 32` makes one"
            ))
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Some(
                "holds a letter that no HTTP header may have; `openssl rand -hex 32` makes one"
                    .to_owned(),
            )
        } else {
            None
        };
        if let Some(what) = what {
            self.problems.refuse(at, what);
            return None;
        }
        Some(secret)
    }
}

fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse().map_err(|_| {
        format!(
            "{text:?} is not an address and a port, such as \"127.0.0.1:8655\" or \"[::1]:8655\""
        )
    })?;
    Ok(Some(address))
}
