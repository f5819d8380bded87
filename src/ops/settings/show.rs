//! The effective settings, for reading. The file's types redact themselves when serialised.

use std::path::Path;

use super::load::{self, Environment, process_environment};
use crate::fault::{Fault, Result};

/// Where a webhook has a body of its own …
const BODY: &str = "body";
/// … no format has a say, not even the one that holds by default.
const FORMAT: &str = "format";

/// The effective settings as TOML or JSON: the file, the environment, the defaults. Secrets that
/// are written out are redacted; where a secret comes from is shown. Reads no secret.
///
/// # Errors
/// The file cannot be read or is not what the schema allows.
pub fn show(path: &Path, json: bool) -> Result<String> {
    show_with(path, json, &process_environment())
}

pub(super) fn show_with(path: &Path, json: bool, environment: &Environment) -> Result<String> {
    let (file, _) = load::read(path, environment)?;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Fault::permanent("printing the settings").because(error)
    };
    if json {
        let mut shown = serde_json::to_value(&file).map_err(|error| failed(error.into()))?;
        let webhooks = shown
            .get_mut("webhook")
            .and_then(serde_json::Value::as_array_mut);
        let webhooks = webhooks.into_iter().flatten();
        for webhook in webhooks.filter_map(serde_json::Value::as_object_mut) {
            if webhook.contains_key(BODY) {
                webhook.shift_remove(FORMAT);
            }
        }
        Ok(format!("{shown:#}\n"))
    } else {
        let mut shown = toml::Table::try_from(&file).map_err(|error| failed(error.into()))?;
        let webhooks = shown.get_mut("webhook").and_then(toml::Value::as_array_mut);
        let webhooks = webhooks.into_iter().flatten();
        for webhook in webhooks.filter_map(toml::Value::as_table_mut) {
            if webhook.contains_key(BODY) {
                webhook.remove(FORMAT);
            }
        }
        toml::to_string(&shown).map_err(|error| failed(error.into()))
    }
}
