//! The effective settings, for reading. The file's types redact themselves when serialised.

use std::path::Path;

use super::load::{self, Environment, process_environment};
use crate::fault::{Fault, Result};

/// The effective settings as TOML or JSON: the file, the environment, the defaults. Secrets that
/// are written out are redacted; where a secret comes from is shown. Reads no secret.
///
/// # Errors
/// The file cannot be read or is not what the schema allows.
pub fn show(path: &Path, json: bool) -> Result<String> {
    show_with(path, json, &process_environment())
}

fn show_with(path: &Path, json: bool, environment: &Environment) -> Result<String> {
    let (file, _) = load::read(path, environment)?;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Fault::permanent("printing the settings").because(error)
    };
    if json {
        let text = serde_json::to_string_pretty(&file).map_err(|error| failed(error.into()))?;
        Ok(text + "\n")
    } else {
        toml::to_string(&file).map_err(|error| failed(error.into()))
    }
}
