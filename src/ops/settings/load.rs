//! The layers: the file, over it the environment.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Config, FileFormat};

use super::file::File;
use super::problem::Problems;
use super::schema::{Shape, schema};
use super::{document, environment};
use crate::fault::{Fault, Result};

/// Environment variables by name.
pub(crate) type Environment = BTreeMap<String, String>;

/// The process's environment, as far as it is UTF-8.
pub(crate) fn process_environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads what the user wrote. The problems come back without an entry, but know where each key was
/// written, for those who go on to find out what the keys mean.
///
/// # Errors
/// The file cannot be read, is not TOML, or is not what the schema allows; the latter with
/// everything that is wrong.
pub(crate) fn read(path: &Path, variables: &Environment) -> Result<(File, Problems)> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fault::settings(format!("reading the settings file {name}"))
            .because(error)
            .next_step("create it, or name another file in ROWHOOK_CONFIG")
    })?;
    let schema = schema();
    let mut problems = Problems::of(path);
    document::check(&text, &name, &schema, &mut problems)?;
    let overrides = environment::overrides(variables, Shape::of(&schema), &mut problems);
    if text.trim().is_empty() && overrides.is_empty() {
        return Err(
            Fault::settings(format!("the settings file {name} is empty"))
                .next_step("give it at least: [source] url = \"postgres://…\""),
        );
    }
    let config = merge(&text, overrides);
    if let Ok(config) = &config {
        check_missing(config, &schema, &mut problems);
    }
    if let Some(fault) = problems.fault() {
        return Err(fault);
    }
    let file = config
        .and_then(Config::try_deserialize)
        .map_err(|error| Fault::settings(format!("reading {name}")).because(error))?;
    Ok((file, problems))
}

fn merge(
    text: &str,
    overrides: Vec<(String, config::Value)>,
) -> Result<Config, config::ConfigError> {
    let file = config::File::from_str(text, FileFormat::Toml);
    let mut builder = Config::builder().add_source(file);
    for (key, value) in overrides {
        builder = builder.set_override(key, value)?;
    }
    builder.build()
}

fn check_missing(config: &Config, schema: &serde_json::Value, problems: &mut Problems) {
    // A value that is no JSON (a date) is reported already as a wrong type.
    if let Ok(merged) = config.clone().try_deserialize::<serde_json::Value>() {
        document::check_missing(&merged, Shape::of(schema), "", problems);
    }
}
