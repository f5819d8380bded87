//! What the user wrote (`file`), and what it means ([`Settings`]).
//!
//! [`load`] goes the whole way: the file and the environment are checked against the JSON Schema
//! (`document`, `environment`), merged (`load`), and read strictly (`meaning`).

mod file;
mod schema;
mod problem;
mod document;
mod environment;
mod load;
mod conninfo;
mod meaning;
mod show;
mod changes;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;

pub use changes::needing_restart;
pub(crate) use problem::near_miss;
pub use schema::schema;
pub use show::show;

use crate::dispatch::Subscription;
use crate::event::Capture;
use crate::event_log::LogSettings;
use crate::fault::Result;
use crate::ops::api::Token;
use crate::wal::Source;
use crate::webhook::sign::SigningKey;

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
    /// The keys as they were written, defaults filled in and secrets redacted: for telling which
    /// ones have changed.
    pub written: serde_json::Value,
}

impl Settings {
    /// What the webhooks sign with.
    pub fn signing_keys(&self) -> impl Iterator<Item = &SigningKey> {
        let endpoints = self.webhooks.iter().map(|webhook| &webhook.endpoint);
        endpoints.flat_map(|endpoint| &endpoint.keys)
    }
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where it listens. Beyond loopback there is a token.
    pub listen: SocketAddr,
    /// Who may do what; without any, events can be read and nothing can be done.
    pub tokens: Vec<Token>,
}

/// Loads the settings from the file and the process's environment.
///
/// # Errors
/// Everything that is wrong with them, each with its place and key, in one fault of the settings.
pub fn load(path: &Path) -> Result<Settings> {
    load_with(path, &load::process_environment())
}

/// Loads the settings with this environment.
fn load_with(path: &Path, environment: &load::Environment) -> Result<Settings> {
    let (file, problems) = load::read(path, environment)?;
    meaning::of(&file, problems, environment)
}
