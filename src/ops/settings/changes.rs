//! What a reload cannot change: which keys differ between what runs and what is written.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Settings;
use super::document::join;
use crate::wal::Target;

/// Everything but the webhooks, which a reload takes over.
const FIXED: [&str; 5] = ["source", "capture", "resource", "log", "api"];

/// The paths of the keys whose change takes effect after a restart alone. A key that was written
/// otherwise and means the same is none.
#[must_use]
pub fn needing_restart(running: &Settings, new: &Settings) -> Vec<String> {
    let same = running.source == new.source
        && running.capture == new.capture
        && running.log == new.log
        && running.api == new.api;
    if same {
        return Vec::new();
    }
    let mut keys = BTreeSet::new();
    for part in FIXED {
        let written = |of: &Settings| of.written.get(part).cloned().unwrap_or_default();
        differing(&written(running), &written(new), part, &mut keys);
    }
    let (source, log) = ("source.password", "log.password");
    if secret_alone(&running.source.target, &new.source.target) {
        keys.insert(source.to_owned());
    } else if secret_alone(&running.log.target, &new.log.target) {
        keys.insert(log.to_owned());
    }
    keys.into_iter().collect()
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
