//! Why an expression has no value for an event, in words. Values are not told: what stands in a row
//! is none of the log's or the operator's business.

use cel::{ExecutionError, Value};

use super::Variable;
use super::variables::Unreadable;

/// Characters of what a function says, and of a key that was worked out.
const LONGEST: usize = 160;

pub(super) fn reason(error: &ExecutionError, unreadable: &[Unreadable]) -> String {
    let kind = |value: &Value| value.type_of().to_string();
    match error {
        ExecutionError::NoSuchKey(name) => missing(name, unreadable),
        ExecutionError::UndeclaredReference(name) => match Variable::named(name) {
            Some(variable) => format!(
                "`{}` is not known for this event: the stream did not carry the old row",
                variable.as_str()
            ),
            None => format!("`{name}` is not known"),
        },
        ExecutionError::NoSuchOverload(error) => match error.argument_types() {
            [of, ..] if error.function() == "_._" && of.starts_with("null") => {
                "it reads a member of null; ask first, as in `old != null && old.status == …`"
                    .to_owned()
            }
            types => format!(
                "`{}` does not go with {}",
                plain(error.function()),
                types.join(" and ")
            ),
        },
        ExecutionError::ValuesNotComparable(a, b) => {
            format!("{} cannot be compared with {}", kind(a), kind(b))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, a, b) => {
            format!("`{operator}` does not go with {} and {}", kind(a), kind(b))
        }
        ExecutionError::UnexpectedType { got, want } => format!("{want} is wanted, not {got}"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "it divides by zero".to_owned()
        }
        ExecutionError::Overflow(operator, ..) => {
            format!("`{operator}` gives a number that does not fit")
        }
        ExecutionError::IndexOutOfBounds(_) => "it reads past the end of a list".to_owned(),
        ExecutionError::DuplicateKey(_) => "an object has the same key twice".to_owned(),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function takes {expected} arguments, not {actual}")
        }
        ExecutionError::FunctionError { function, message } => match function.as_str() {
            // These repeat what they are given.
            "matches" => {
                "matches(): its pattern is no regular expression, or too large a one".to_owned()
            }
            "duration" => "duration(): it is given no duration such as 90m".to_owned(),
            "timezone" => "it is given no time zone that is known".to_owned(),
            _ => format!(
                "{function}(): {}",
                short(message.lines().next().unwrap_or_default())
            ),
        },
        _ => "a function or an operator was given what it does not take".to_owned(),
    }
}

fn missing(name: &str, unreadable: &[Unreadable]) -> String {
    let found = unreadable.iter().find(|unreadable| unreadable.name == name);
    match found {
        Some(Unreadable { variable, why, .. }) => {
            format!("`{}.{name}` cannot be read: {why}", variable.as_str())
        }
        None => format!("there is no `{}`, or its value is not known", short(name)),
    }
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// An operator as it is written: `_>_` is `>`.
fn plain(function: &str) -> &str {
    match function.trim_matches(['_', '@']) {
        "" => function,
        plain => plain,
    }
}
