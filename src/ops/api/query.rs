//! A request's query: parameters by name, read strictly.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Problem;
use crate::ops::settings::near_miss;

/// The parameters that a request has. Every one is taken by name; what is left at the end is refused.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    taken: Vec<(&'static str, String)>,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(parts.uri.query().unwrap_or_default())
    }
}

impl Asked {
    fn read(query: &str) -> Result<Self, Problem> {
        let pieces = query.split('&').filter(|piece| !piece.is_empty());
        let given = pieces.map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        Ok(Self {
            given: given.collect::<Result<_, Problem>>()?,
            ..Self::default()
        })
    }

    /// A parameter's text; `None` where it is not given.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        let mut values = self.texts(name).into_iter();
        match (values.next(), values.next()) {
            (value, None) => match value {
                Some(value) if value.is_empty() => {
                    Err(Problem::bad(name, format!("{name} is empty")))
                }
                value => Ok(value),
            },
            _ => Err(Problem::bad(name, format!("{name} is given twice"))),
        }
    }

    /// Every text of a parameter that may be given several times.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let mut taken = Vec::new();
        self.given.retain_mut(|(given, value)| {
            let is_it = given == name;
            if is_it {
                taken.push(std::mem::take(value));
            }
            !is_it
        });
        self.taken
            .extend(taken.iter().map(|value| (name, value.clone())));
        taken
    }

    /// A parameter, read by a function that says what is wrong with it.
    pub(crate) fn by<T, E: Display>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Problem> {
        let text = self.text(name)?;
        let read = text
            .map(|text| read(&text).map_err(|what| Problem::bad(name, format!("{name}: {what}"))));
        read.transpose()
    }

    /// A number, within bounds.
    pub(crate) fn number(
        &mut self,
        name: &'static str,
        from: i64,
        to: i64,
    ) -> Result<Option<i64>, Problem> {
        self.by(name, |text| match i64::from_str(text) {
            Ok(number) if (from..=to).contains(&number) => Ok(number),
            _ if to == i64::MAX => Err(format!("{text:?} is not a number from {from} on")),
            _ => Err(format!("{text:?} is not a number from {from} to {to}")),
        })
    }

    /// `true` or `false`; not given, `false`.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        let read = self.by(name, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        });
        Ok(read?.unwrap_or_default())
    }

    /// What was taken, as a query that another may be added to; without the cursors.
    pub(crate) fn echo(&self) -> String {
        let rest = self
            .taken
            .iter()
            .filter(|(name, _)| !matches!(*name, "after" | "before"));
        let written = |(name, value): &(&str, String)| {
            format!("{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC))
        };
        rest.map(written).collect()
    }

    /// Refuses what nobody asked for.
    pub(crate) fn end(self) -> Result<(), Problem> {
        let Some((name, _)) = self.given.first() else {
            return Ok(());
        };
        let detail = format!("there is no parameter {name:?} here");
        let problem = Problem::new(StatusCode::BAD_REQUEST, "unknown_parameter", detail).at(name);
        Err(match near_miss(&snake(name), self.known.iter().copied()) {
            Some(meant) => problem.next_step(format!("did you mean {meant}?")),
            None if self.known.is_empty() => problem,
            None => problem.next_step(format!("there are {}", self.known.join(", "))),
        })
    }
}

/// `resourceId`, the name in an event, as the name of a parameter.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// As an HTML form writes it: `+` for a blank. No text of Postgres holds a zero.
fn decoded(text: &str) -> Result<String, Problem> {
    let bad = || {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "bad_query",
            "the query is not UTF-8, or holds %00",
        )
    };
    let text = text.replace('+', " ");
    let text = percent_decode_str(&text).decode_utf8().map_err(|_| bad())?;
    if text.contains('\0') {
        Err(bad())
    } else {
        Ok(text.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(problem: &Problem) -> String {
        format!("{problem:?}")
    }

    #[test]
    fn parameters_are_taken_by_name_and_the_rest_is_refused() {
        let mut asked = Asked::read("after=7&type=a%2Eb&type=c+d&limit=5").unwrap();
        assert_eq!(asked.number("after", 0, i64::MAX).unwrap(), Some(7));
        assert_eq!(asked.texts("type"), ["a.b", "c d"]);
        assert_eq!(asked.text("resource").unwrap(), None);
        let problem = detail(&asked.end().unwrap_err());
        assert!(problem.contains("no parameter \\\"limit\\\""), "{problem}");
    }

    #[test]
    fn a_slip_is_told_what_was_meant() {
        let mut asked = Asked::read("resourceid=7").unwrap();
        asked.text("resource_id").unwrap();
        let problem = detail(&asked.end().unwrap_err());
        assert!(problem.contains("did you mean resource_id?"), "{problem}");
        assert_eq!(snake("resourceId"), "resource_id");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for query in [
            "after=x",
            "after=-1",
            "after=",
            "after",
            "after=1&after=2",
            "after=99999999999999999999",
            "after=1.5",
        ] {
            let mut asked = Asked::read(query).unwrap();
            assert!(asked.number("after", 0, i64::MAX).is_err(), "{query}");
        }
        for query in ["a=%00", "a=%ff", "%ff=a"] {
            assert!(Asked::read(query).is_err(), "{query}");
        }
        assert!(Asked::read("flag=yes").unwrap().flag("flag").is_err());
    }
}
