//! What the user wrote (`file`), and what it means ([`Settings`]).

use std::net::SocketAddr;

use crate::dispatch::Subscription;
use crate::event::Capture;
use crate::event_log::LogSettings;
use crate::wal::Source;

/// Everything the daemon has to know, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The source database.
    pub source: Source,
    /// What is captured.
    pub capture: Capture,
    /// The log.
    pub log: LogSettings,
    /// The subscriptions, in the file's order.
    pub webhooks: Vec<Subscription>,
    /// The HTTP side; `None` where `api.listen = ""`.
    pub api: Option<Api>,
}

/// Health, readiness and metrics over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where it listens. Loopback only, for now.
    pub listen: SocketAddr,
}
