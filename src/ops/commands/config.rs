//! `rowhook config`: the schema for editors, and the settings as they came out.

use std::path::Path;

use super::print;
use crate::fault::Result;
use crate::ops::settings;

/// Prints the JSON Schema of the settings file.
///
/// # Errors
/// Standard output is full.
pub fn schema() -> Result<()> {
    print::text(&format!("{:#}\n", settings::schema()))
}

/// Prints the effective settings, as TOML or as JSON, every secret redacted.
///
/// # Errors
/// The file cannot be read or is not what the schema allows; or standard output is full.
pub fn show(path: &Path, json: bool) -> Result<()> {
    print::text(&settings::show(path, json)?)
}
