//! What a reload cannot change: which keys differ between what runs and what is written.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::join;
use super::{Api, Settings};
use crate::wal::Target;

/// Everything but the webhooks and the API's tokens, which a reload takes over.
const FIXED: [&str; 4] = ["source", "capture", "resource", "log"];

/// The paths of the keys whose change takes effect after a restart alone. A key that was written
/// otherwise and means the same is none.
#[must_use]
pub fn needing_restart(running: &Settings, new: &Settings) -> Vec<String> {
    let same = running.source == new.source
        && running.capture == new.capture
        && running.log == new.log
        && api_keys(running.api.as_ref(), new.api.as_ref()).is_empty();
    if same {
        return Vec::new();
    }
    let mut keys = BTreeSet::new();
    for part in FIXED {
        let written = |of: &Settings| of.written.get(part).cloned().unwrap_or_default();
        differing(&written(running), &written(new), part, &mut keys);
    }
    keys.extend(api_keys(running.api.as_ref(), new.api.as_ref()));
    let (source, log) = ("source.password", "log.password");
    if secret_alone(&running.source.target, &new.source.target) {
        keys.insert(source.to_owned());
    } else if secret_alone(&running.log.target, &new.log.target) {
        keys.insert(log.to_owned());
    }
    keys.into_iter().collect()
}

/// The listener stays where it is, and a reload does not open one that asked for tokens.
fn api_keys(running: Option<&Api>, new: Option<&Api>) -> Vec<String> {
    let listen = |api: Option<&Api>| api.map(|api| api.listen);
    let asks = |api: Option<&Api>| api.is_some_and(|api| !api.tokens.is_empty());
    let mut keys = Vec::new();
    if listen(running) != listen(new) {
        keys.push("api.listen".to_owned());
    }
    if new.is_some() && asks(running) && !asks(new) {
        keys.push("api.token".to_owned());
    }
    keys
}

/// Secrets are not told apart in writing.
fn secret_alone(running: &Target, new: &Target) -> bool {
    running.password != new.password
}

fn differing(running: &Value, new: &Value, at: &str, keys: &mut BTreeSet<String>) {
    match (running, new) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let value = |of: &serde_json::Map<String, Value>| of.get(name).cloned();
                let (old, new) = (value(old), value(new));
                differing(
                    &old.unwrap_or_default(),
                    &new.unwrap_or_default(),
                    &join(at, name),
                    keys,
                );
            }
        }
        (old, new) if old != new => {
            keys.insert(at.to_owned());
        }
        _ => {}
    }
}
