//! What is wrong with the settings, all of it at once, each with the place where it was written.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use crate::fault::Fault;

/// Everything wrong so far, and where each key was written.
#[derive(Debug)]
pub(crate) struct Problems {
    file: PathBuf,
    lines: BTreeMap<String, usize>,
    variables: BTreeMap<String, String>,
    found: Vec<Problem>,
}

/// One wrong key. The line only sorts: what the user reads is the text.
#[derive(Debug)]
struct Problem {
    line: Option<usize>,
    text: String,
}

/// Where a key was written.
enum Written<'a> {
    Line(usize),
    Variable(&'a str),
    Nowhere,
}

impl Problems {
    /// Nothing wrong yet with this file.
    pub(crate) fn of(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            lines: BTreeMap::new(),
            variables: BTreeMap::new(),
            found: Vec::new(),
        }
    }

    /// Remembers that the key stands in this line.
    pub(crate) fn written_in_line(&mut self, key: &str, line: usize) {
        self.lines.insert(key.into(), line);
    }

    /// Remembers that the key comes from this environment variable.
    pub(crate) fn written_in_variable(&mut self, key: &str, variable: &str) {
        self.variables.insert(key.into(), variable.into());
    }

    /// Whether this key, or one beneath it, was written anywhere.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.lines.contains_key(key)
            || self.variables.keys().any(|known| {
                known
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            })
    }

    /// Notes what is wrong with a key.
    pub(crate) fn refuse(&mut self, key: &str, what: impl Display) {
        let file = self.file.display();
        let (line, text) = match self.written(key) {
            Written::Line(line) => (Some(line), format!("{file}:{line}: {key}: {what}")),
            Written::Variable(name) => {
                (None, format!("environment variable {name}: {key}: {what}"))
            }
            Written::Nowhere => (None, format!("{file}: {key}: {what}")),
        };
        self.found.push(Problem { line, text });
    }

    /// Notes what is wrong with an environment variable that stands for no key.
    pub(crate) fn refuse_variable(&mut self, name: &str, what: impl Display) {
        self.found.push(Problem {
            line: None,
            text: format!("environment variable {name}: {what}"),
        });
    }

    /// Takes what a key means, or notes why it means nothing.
    pub(crate) fn take<T, E: Display>(&mut self, key: &str, meaning: Result<T, E>) -> Option<T> {
        match meaning {
            Ok(value) => Some(value),
            Err(what) => {
                self.refuse(key, what);
                None
            }
        }
    }

    /// The fault that tells all of it; `None` if nothing is wrong.
    pub(crate) fn fault(&mut self) -> Option<Fault> {
        self.found.sort_by_key(|problem| problem.line);
        let texts: Vec<&str> = self
            .found
            .iter()
            .map(|problem| problem.text.as_str())
            .collect();
        match texts.as_slice() {
            [] => None,
            [text] => Some(Fault::settings(*text)),
            several => Some(Fault::settings(format!(
                "{} problems in the settings:\n  {}",
                several.len(),
                several.join("\n  ")
            ))),
        }
    }

    /// A key that was not written is as good as written where the table around it is.
    fn written(&self, key: &str) -> Written<'_> {
        let mut key = key;
        loop {
            if let Some(name) = self.variables.get(key) {
                return Written::Variable(name);
            }
            if let Some(line) = self.lines.get(key) {
                return Written::Line(*line);
            }
            match key.rfind(['.', '[']).and_then(|end| key.get(..end)) {
                Some(parent) => key = parent,
                None => return Written::Nowhere,
            }
        }
    }
}

/// The known name that was most likely meant.
pub(crate) fn near_miss<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
