//! Paths and secrets: values that stand somewhere else.

use std::path::PathBuf;

use super::Reader;
use crate::ops::settings::file::{Place, SecretRef};
use crate::ops::settings::load::Environment;
use crate::secret::Secret;

impl Reader<'_> {
    /// A secret, from wherever it is.
    pub(super) fn secret(&mut self, key: &str, written: &SecretRef) -> Option<Secret> {
        let secret = match written {
            SecretRef::Literal(literal) => not_empty(literal.0.expose(), "it"),
            SecretRef::At(place) => self.secret_at(place),
        };
        self.problems.take(key, secret)
    }

    /// A secret that is the content of a file.
    pub(super) fn secret_file(&self, path: &str) -> Result<Secret, String> {
        let path = self.path(path)?;
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("reading {}: {error}", path.display()))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        not_empty(line, &path.display().to_string())
    }

    /// A path, with `${NAME}` replaced: systemd tells where credentials are only by
    /// `CREDENTIALS_DIRECTORY`.
    pub(super) fn path(&self, written: &str) -> Result<PathBuf, String> {
        expand(written, self.environment).map(PathBuf::from)
    }

    fn secret_at(&self, place: &Place) -> Result<Secret, String> {
        match (&place.env, &place.file) {
            (Some(name), None) => match self.environment.get(name) {
                Some(value) => not_empty(value, &format!("environment variable {name}")),
                None => Err(format!("environment variable {name} is not set")),
            },
            (None, Some(path)) => self.secret_file(path),
            _ => Err("needs one of env and file, and only one".into()),
        }
    }
}

fn not_empty(text: &str, holder: &str) -> Result<Secret, String> {
    if text.is_empty() {
        Err(format!("{holder} is empty"))
    } else {
        Ok(Secret::new(text))
    }
}

fn expand(written: &str, environment: &Environment) -> Result<String, String> {
    if written.is_empty() {
        return Err("the path is empty".into());
    }
    let mut expanded = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("{written:?} has a ${{ that is never closed"))?;
        let value = environment
            .get(name)
            .ok_or_else(|| format!("{written:?}: environment variable {name} is not set"))?;
        expanded.push_str(before);
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_takes_variables_and_names_the_one_that_is_not_set() {
        let environment = Environment::from([("D".into(), "/run/cred".into())]);
        assert_eq!(expand("${D}/pw", &environment), Ok("/run/cred/pw".into()));
        assert_eq!(expand("/a$b", &environment), Ok("/a$b".into()));
        assert_eq!(
            expand("${E}/pw", &environment),
            Err("\"${E}/pw\": environment variable E is not set".into())
        );
        assert!(expand("${E", &environment).is_err());
    }
}
