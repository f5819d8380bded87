//! What the file means: every key read strictly, every problem collected.
//!
//! Each part is read to its end before a missing piece gives it up, so that one run tells all.

mod api;
mod capture;
mod choosing;
mod connection;
mod format;
mod network;
mod lanes;
mod place;
mod resource;
mod source;
mod units;
mod webhook;

use super::Settings;
use super::file::File;
use super::load::Environment;
use super::problem::Problems;
use crate::fault::{Fault, Result};

/// Finds out what the file means.
///
/// # Errors
/// Everything that is wrong, in one fault.
pub(crate) fn of(file: &File, problems: Problems, environment: &Environment) -> Result<Settings> {
    let mut reader = Reader {
        environment,
        problems,
    };
    let settings = reader.settings(file);
    match (reader.problems.fault(), settings) {
        (None, Some(settings)) => Ok(settings),
        (Some(fault), _) => Err(fault),
        (None, None) => Err(Fault::settings(
            "the settings mean nothing, for no known reason",
        )),
    }
}

/// Reads keys; what is wrong gathers in `problems`. `None` always comes with a problem.
struct Reader<'a> {
    environment: &'a Environment,
    problems: Problems,
}

impl Reader<'_> {
    fn settings(&mut self, file: &File) -> Option<Settings> {
        let source = self.source(&file.source);
        let capture = self.capture(&file.capture, &file.resource);
        let log = self.log(&file.log, source.as_ref().map(|source| &source.target));
        let guard = self.guard(&file.network);
        let webhooks = self.webhooks(&file.webhook);
        let api = self.api(&file.api);
        let (capture, webhooks) = (capture?, network::guarded(webhooks?, &guard?));
        Some(Settings {
            source: source?,
            log: log?,
            webhooks: resource::documented(webhooks, &capture),
            capture,
            api: api?,
            // It came from TOML or the environment, so it is JSON, too.
            written: serde_json::to_value(file).unwrap_or_default(),
        })
    }
}
