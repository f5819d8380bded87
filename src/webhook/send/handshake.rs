//! A connection as a request would get it, of TCP and TLS, over which nothing is sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::CertificateError;
use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;

use super::failure::{self, chain};
use super::resolve::System;
use crate::fault::Fault;
use crate::webhook::{Endpoint, Outcome};

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq)]
pub struct NoConnection {
    /// The root cause's own words; never the URL.
    pub detail: String,
    /// What is wrong with the certificate that was shown.
    pub certificate: Option<CertificateError>,
}

/// Connects to an endpoint, as far as one may and can: its name is looked up, its certificate is
/// judged, ours is shown. Whether it is content with ours shows with the first request alone.
///
/// # Errors
/// [`Fault::settings`] as [`Sender::new`](super::Sender::new); otherwise why there is no connection.
pub async fn handshake(
    endpoint: &Endpoint,
    within: Duration,
) -> Result<Result<(), NoConnection>, Fault> {
    let client = super::client(endpoint, Arc::new(System), |client| {
        client.connector_layer(OnlyConnect)
    })?;
    let Ok(tried) = timeout(within, client.head(endpoint.url.clone()).send()).await else {
        return Ok(Err(NoConnection {
            detail: format!("no connection within {within:?}"),
            certificate: None,
        }));
    };
    Ok(match tried {
        Err(error) if !chain(&error).any(|error| error.is::<Connected>()) => {
            Err(no_connection(&error))
        }
        _ => Ok(()),
    })
}

fn no_connection(error: &reqwest::Error) -> NoConnection {
    let detail = match failure::outcome(error) {
        Outcome::Unreachable { detail, .. } => detail,
        other => other.to_string(),
    };
    let certificate = chain(error).find_map(|error| match error.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(wrong)) => Some(wrong.clone()),
        _ => None,
    });
    NoConnection {
        detail,
        certificate,
    }
}

/// Ends each request once its connection is there.
#[derive(Clone)]
struct OnlyConnect;

impl<S> Layer<S> for OnlyConnect {
    type Service = Connecting<S>;

    fn layer(&self, inner: S) -> Connecting<S> {
        Connecting(inner)
    }
}

/// The client's own way to connect, the last step of which is an error.
#[derive(Clone)]
struct Connecting<S>(S);

/// What a client's layers fail with.
type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl<S, R> Service<R> for Connecting<S>
where
    S: Service<R, Error = AnyError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = AnyError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, AnyError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: R) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move {
            connecting.await?;
            Err(Connected.into())
        })
    }
}

/// There is a connection.
#[derive(Debug)]
struct Connected;

impl fmt::Display for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connected")
    }
}

impl std::error::Error for Connected {}
