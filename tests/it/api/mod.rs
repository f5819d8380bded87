//! The HTTP API, as its users meet it.

mod access;
mod emitting;
mod operating;
mod schema;
mod reading;
mod stream;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use crate::daemon::Daemon;

/// Someone who speaks to a daemon.
pub(crate) struct Caller {
    client: Client,
    base: String,
    token: Option<String>,
}

/// Asks 127.0.0.1, whatever proxy the environment names.
pub(crate) fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Caller {
    /// Who has no token.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        Self {
            client: client(),
            base: daemon.api(),
            token: None,
        }
    }

    /// The same with this token.
    pub(crate) fn with(daemon: &Daemon, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..Self::of(daemon)
        }
    }

    /// A request that is not sent yet.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().unwrap();
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        answer(self.request("GET", path)).await
    }

    /// GET that has to be answered with JSON.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        answer.json()
    }

    /// POST with JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.request("POST", path);
        let request = request.header("content-type", "application/json");
        answer(request.body(body.to_string())).await
    }
}

/// Sends it.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Answer {
        status,
        headers,
        text,
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// It has to be a problem document with this status and word; gives it.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.text
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem:#}");
        assert_eq!(problem["code"], code, "{problem:#}");
        for member in ["type", "title", "detail"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{problem:#}"
            );
        }
        problem
    }
}
