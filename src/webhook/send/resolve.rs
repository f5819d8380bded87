//! From a host to the addresses that may be connected to.
//!
//! Every new connection asks here, so a name that points elsewhere from one moment to the next is
//! judged by where it points then.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use crate::webhook::Endpoint;
use crate::webhook::guard::{Denied, Guard};

/// The system's resolver: `/etc/hosts`, DNS, whatever `nsswitch.conf` says.
pub(super) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is the URL's: the client puts it in.
            let found = lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A resolver of whose answers only those are given on that the guard admits.
pub(super) struct Guarded {
    guard: Arc<Guard>,
    names: Arc<dyn Resolve>,
}

impl Guarded {
    pub(super) fn new(guard: Guard, names: Arc<dyn Resolve>) -> Self {
        let guard = Arc::new(guard);
        Self { guard, names }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolving, guard) = (self.names.resolve(name), Arc::clone(&self.guard));
        Box::pin(async move {
            let admitted = guard.admitted(resolving.await?)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// The address that stands in a URL in place of a name. The URL's parser has brought it to its plain
/// form: `http://0x7f.1/` is `http://127.0.0.1/`.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    host(url)?.parse().ok()
}

/// A URL's host, without the brackets of an IPv6 address.
fn host(url: &Url) -> Option<&str> {
    url.host_str().map(|host| host.trim_matches(['[', ']']))
}

/// Where requests to an endpoint would be sent now.
///
/// # Errors
/// If there is no such place, or none that may be connected to.
pub async fn addresses(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Unresolved> {
    let url = &endpoint.url;
    let (Some(host), Some(port)) = (host(url), url.port_or_known_default()) else {
        let what = io::Error::new(io::ErrorKind::InvalidInput, "the URL names no host");
        return Err(Unresolved::Unknown(what));
    };
    let found = lookup_host((host, port))
        .await
        .map_err(Unresolved::Unknown)?;
    endpoint.guard.admitted(found).map_err(Unresolved::Denied)
}

/// Why there is no address to send to.
#[derive(Debug)]
pub enum Unresolved {
    /// The name has none.
    Unknown(io::Error),
    /// None of them may be connected to.
    Denied(Denied),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(error) => error.fmt(f),
            Self::Denied(denied) => denied.fmt(f),
        }
    }
}
