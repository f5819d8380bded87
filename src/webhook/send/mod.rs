//! One attempt: a signed request, and a bounded look at what comes back.

mod failure;
mod handshake;
mod headers;
mod resolve;
mod tls;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod tls_tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::dns::Resolve;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Method, Request, Response, Url, redirect};
use tokio::time::timeout;

pub use self::handshake::{NoConnection, handshake};
use self::headers::Headers;
pub use self::headers::is_own_header;
use self::resolve::{Guarded, System};
pub use self::resolve::{Unresolved, addresses};
pub use self::tls::ClientTls;
use super::excerpt::Excerpts;
use super::guard::Denied;
use super::{Batch, Body, Cause, Delivery, Endpoint, Outcome, retry_after};
use crate::event::Event;
use crate::fault::Fault;

/// How much of an answer is read at most, in bytes. Reading it to its end lets the connection be
/// used again; beyond this a new connection is cheaper.
const ANSWER_BYTES: usize = 64 * 1024;

/// How long the body of a 2xx is waited for: the status has said all, only the connection's reuse
/// is at stake.
const DRAIN: Duration = Duration::from_secs(1);

/// How long an unused connection is kept. Below the minute after which many load balancers close
/// theirs, so that a request seldom meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(50);

/// How often, and how long, a shared HTTP/2 connection is asked whether it still lives: without it
/// every request of a subscription would go into a connection that silently died.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// Sends to one endpoint. Its connections are kept between requests; it may be shared.
pub struct Sender {
    name: String,
    client: Client,
    url: Url,
    headers: Headers,
    excerpts: Excerpts,
    timeout: Duration,
    /// Why no connection may be made to the address that stands in the URL: an address is connected
    /// to without asking the resolver.
    denied: Option<Denied>,
}

impl Sender {
    /// Prepares the client and the headers that do not change.
    ///
    /// Redirects are not followed, and proxies named in the environment are not used: where events
    /// go is what the settings say, and nothing else.
    ///
    /// # Errors
    /// [`Fault::settings`] if a header cannot be sent or, for `https`, if the machine has no CA
    /// certificates.
    pub fn new(endpoint: &Endpoint) -> Result<Self, Fault> {
        Self::with_names(endpoint, Arc::new(System))
    }

    /// The same, with names looked up by `names`.
    fn with_names(endpoint: &Endpoint, names: Arc<dyn Resolve>) -> Result<Self, Fault> {
        let address = resolve::literal(&endpoint.url);
        Ok(Self {
            name: endpoint.name.clone(),
            client: client(endpoint, names, |client| client)?,
            url: endpoint.url.clone(),
            headers: Headers::new(endpoint)?,
            excerpts: Excerpts::of(endpoint),
            timeout: endpoint.timeout,
            denied: address.and_then(|address| endpoint.guard.admit(address).err()),
        })
    }

    /// Makes one attempt, within the endpoint's timeout. The request is signed for this moment, as
    /// receivers refuse timestamps older than five minutes.
    ///
    /// The status decides as soon as the answer's head has come: a 2xx whose body breaks off, drips
    /// or never ends is still delivered.
    pub async fn send(&self, event: &Event, delivery: &Delivery, body: Body) -> Outcome {
        let headers = self.headers.of(event, delivery, Timestamp::now(), &body);
        self.post(headers, body).await
    }

    /// Makes one attempt of several events, as [`Sender::send`] does of one.
    pub async fn send_batch(&self, batch: &Batch, body: Body) -> Outcome {
        let headers = self.headers.of_batch(batch, Timestamp::now(), &body);
        self.post(headers, body).await
    }

    async fn post(&self, headers: HeaderMap, body: Body) -> Outcome {
        if let Some(denied) = &self.denied {
            return failure::denied(denied);
        }
        let started = Instant::now();
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.bytes.into());
        match timeout(self.timeout, self.client.execute(request)).await {
            Ok(Ok(response)) => {
                let left = self.timeout.saturating_sub(started.elapsed());
                self.read(response, left).await
            }
            Ok(Err(error)) => failure::outcome(&error),
            Err(_) => Outcome::Unreachable {
                cause: Cause::Timeout,
                detail: format!("no answer within {:?}", self.timeout),
            },
        }
    }

    async fn read(&self, response: Response, left: Duration) -> Outcome {
        let status = response.status();
        if status.is_success() {
            // Most receivers say nothing more: nothing is waited for.
            if response.content_length() != Some(0) {
                drain(response, left.min(DRAIN)).await;
            }
            return Outcome::Delivered {
                status: status.as_u16(),
            };
        }
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after::parse(value, Timestamp::now()));
        let body = drain(response, left).await;
        Outcome::Refused {
            status: status.as_u16(),
            retry_after,
            excerpt: self.excerpts.cut(&body),
        }
    }
}

impl fmt::Debug for Sender {
    /// The name alone: the URL may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Reads an answer's body until it ends, breaks off, exceeds its bound or runs out of time, and
/// gives what came.
async fn drain(mut response: Response, within: Duration) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = ANSWER_BYTES - body.len();
            body.extend(chunk.iter().take(room));
            if chunk.len() > room {
                break;
            }
        }
    };
    // However it ended, what was read until then is all that is wanted.
    let _ended = timeout(within, read).await;
    body
}

fn client(
    endpoint: &Endpoint,
    names: Arc<dyn Resolve>,
    change: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, Fault> {
    // The process has one crypto provider; that another client has installed it already is fine.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let (interval, patience) = PING;
    let mut client = Client::builder()
        .user_agent(concat!("rowhook/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        // One attempt is one request; what is tried again is counted. `never` alone would keep a copy of
        // each request all the same.
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .referer(false)
        .no_proxy()
        .dns_resolver(Guarded::new(endpoint.guard.clone(), names))
        .pool_idle_timeout(IDLE)
        .http2_keep_alive_interval(interval)
        .http2_keep_alive_timeout(patience);
    if endpoint.url.scheme() == "http" {
        // No certificate is ever looked at, and a machine without any must still be able to send.
        client = client.tls_certs_only([]);
    }
    change(endpoint.tls.apply(client)).build().map_err(|error| {
        Fault::settings(format!("webhook {:?}: cannot set up TLS", endpoint.name))
            .because(error.without_url())
            .next_step(
                "install the system's CA certificates (package ca-certificates), or name a file \
                 with them in SSL_CERT_FILE",
            )
    })
}
