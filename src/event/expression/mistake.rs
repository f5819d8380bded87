//! What is wrong with an expression as it is written.

use std::fmt;

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub says: String,
    /// A name that nothing has, and the names that could be meant.
    pub unknown: Option<(String, Vec<&'static str>)>,
    /// Where.
    pub place: Option<Place>,
}

/// A place in an expression's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The text of the line.
    pub text: String,
}

impl Mistake {
    /// One without a place.
    pub(super) fn new(says: impl Into<String>) -> Self {
        Self {
            says: says.into(),
            unknown: None,
            place: None,
        }
    }

    /// A name that nothing has.
    pub(super) fn unknown(what: &str, name: &str, known: &[&'static str]) -> Self {
        Self {
            unknown: Some((name.to_owned(), known.to_vec())),
            ..Self::new(format!("unknown {what} `{name}`"))
        }
    }

    /// With its place; line and column from 1.
    pub(super) fn at(mut self, source: &str, line: usize, column: usize) -> Self {
        let text = source.lines().nth(line.saturating_sub(1));
        self.place = text.map(|text| Place {
            line,
            column,
            text: text.to_owned(),
        });
        self
    }

    /// With its place, given in bytes from the beginning.
    pub(super) fn at_byte(self, source: &str, index: usize) -> Self {
        let before = source.get(..index).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |rest| rest.chars().count());
        self.at(source, line, column + 1)
    }

    /// The message, with a hint after what is wrong.
    #[must_use]
    pub fn with_hint(&self, hint: Option<&str>) -> String {
        let hint = hint.map_or_else(String::new, |hint| format!("; did you mean `{hint}`?"));
        let Some(place) = &self.place else {
            return format!("{}{hint}", self.says);
        };
        let (column, text) = (place.column, &place.text);
        let line = match place.line {
            1 => String::new(),
            line => format!("line {line}, "),
        };
        let (text, caret) = excerpt(text, column);
        format!(
            "{line}column {column}: {}{hint}\n    {text}\n    {:>caret$}",
            self.says, '^'
        )
    }
}

/// Characters of a line that are shown on either side of the place.
const SHOWN: usize = 50;

/// The line around a column, without tabs (they would put the caret elsewhere), and the caret's
/// column in it.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let first = column.saturating_sub(SHOWN + 1);
    let text = line.chars().skip(first).take(2 * SHOWN);
    let text = text.map(|c| if c.is_control() { ' ' } else { c });
    (text.collect(), column.saturating_sub(first).max(1))
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_hint(None))
    }
}

impl std::error::Error for Mistake {}
