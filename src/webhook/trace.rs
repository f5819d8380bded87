//! The trace that an event is a part of, as headers carry it on: W3C Trace Context,
//! <https://www.w3.org/TR/trace-context/>. Pure.
//!
//! rowhook records no spans of its own, so it passes on the parent that the application named,
//! unchanged and the same on every attempt: an id made for an attempt would be a parent that no
//! tracing system ever hears of.

use crate::event::{Event, Fields};

/// `00-`, 32 digits of the trace, 16 of the parent, 2 of the flags.
const LENGTH: usize = 55;

/// The specification wants so much passed on; what is longer may be left out as a whole.
const LONGEST_STATE: usize = 512;

/// How many members a `tracestate` may have.
const MOST_MEMBERS: usize = 32;

/// A `traceparent`, and the `tracestate` that goes with it: both as a header may hold them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    parent: String,
    state: Option<String>,
}

impl Trace {
    /// The trace of an event, if its context has a `traceparent` that is one. A bad `tracestate` is left
    /// out, as the specification has it.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let context = Fields::read(event.context.as_deref()?)?;
        let trace = context.named("traceContext")?;
        Self::read(&Fields::read(trace.value)?)
    }

    /// The same of a trace context's members.
    pub(super) fn read(trace: &Fields<'_>) -> Option<Self> {
        let text = |name| {
            let member = trace.named(name)?;
            serde_json::from_str::<String>(member.value).ok()
        };
        Some(Self {
            parent: text("traceparent").filter(|text| is_parent(text))?,
            state: text("tracestate").filter(|text| is_state(text)),
        })
    }

    /// The trace of several events, if it is the same of all.
    pub(super) fn common<'a>(mut events: impl Iterator<Item = &'a Event>) -> Option<Self> {
        let first = Self::of(events.next()?)?;
        let agree = events.all(|event| Self::of(event).as_ref() == Some(&first));
        agree.then_some(first)
    }

    /// `traceparent` of the header.
    pub(super) fn parent(&self) -> &str {
        &self.parent
    }

    /// `tracestate` of the header.
    pub(super) fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace's id within it.
    pub(super) fn trace_id(&self) -> &str {
        self.parent.get(3..35).unwrap_or_default()
    }

    /// The id of the span that made the event.
    pub(super) fn parent_id(&self) -> &str {
        self.parent.get(36..52).unwrap_or_default()
    }
}

/// Version 00, section 3.2.2. A later version may mean something else by the same digits.
fn is_parent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut digits = |count| parts.next().filter(|part| is_hex(part, count));
    let version = digits(2);
    let (trace, parent, flags) = (digits(32), digits(16), digits(2));
    let is_id = |id: Option<&str>| id.is_some_and(|id| id.bytes().any(|digit| digit != b'0'));
    text.len() == LENGTH
        && version == Some("00")
        && is_id(trace)
        && is_id(parent)
        && flags.is_some()
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Section 3.3.1: members `key=value`, of which some may be empty, no key twice.
fn is_state(text: &str) -> bool {
    let members = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    let members: Vec<&str> = members.filter(|member| !member.is_empty()).collect();
    let mut keys = Vec::with_capacity(members.len());
    for member in &members {
        let Some((key, value)) = member.split_once('=') else {
            return false;
        };
        if !is_key(key) || !is_value(value) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
    }
    text.len() <= LONGEST_STATE && !members.is_empty() && members.len() <= MOST_MEMBERS
}

fn is_key(key: &str) -> bool {
    let part = |text: &str, digit_first: bool, longest| {
        let mut bytes = text.bytes();
        let first = bytes.next();
        let begins = first.is_some_and(|byte| {
            byte.is_ascii_lowercase() || (digit_first && byte.is_ascii_digit())
        });
        begins
            && text.len() <= longest
            && bytes.all(|byte| {
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || matches!(byte, b'_' | b'-' | b'*' | b'/')
            })
    };
    match key.split_once('@') {
        Some((tenant, system)) => part(tenant, true, 241) && part(system, false, 14),
        None => part(key, false, 256),
    }
}

fn is_value(value: &str) -> bool {
    let allowed = |byte| matches!(byte, b' '..=b'~') && byte != b'=';
    !value.is_empty() && value.len() <= 256 && value.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_what_the_grammar_takes_is_a_parent() {
        assert!(is_parent(PARENT));
        for wrong in [
            "",
            "00-a-b-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\n",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!is_parent(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_the_grammar_takes_is_a_state() {
        for good in [
            "rojo=00f067aa0ba902b7",
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "0tenant@system=a b\"%;!, ,b_-*/=1",
        ] {
            assert!(is_state(good), "{good:?}");
        }
        let long = format!("a={}", "x".repeat(257));
        let many: Vec<String> = (0..33).map(|i| format!("a{i}=1")).collect();
        let large = format!("a={0},b={0},c={0}", "x".repeat(200));
        for wrong in [
            "",
            " , ",
            "a",
            "=1",
            "a=",
            "A=1",
            "1a=1",
            "a=1,a=2",
            "a=b=c",
            "a=ü",
            "a=b\n",
            "a@=1",
            "@a=1",
            "a@0=1",
            &long,
            &many.join(","),
            &large,
        ] {
            assert!(!is_state(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_bad_state_is_left_out_and_a_bad_parent_takes_the_state_along() {
        let read = |context: &str| Trace::read(&Fields::read(context).unwrap());
        let good = read(&format!(
            r#"{{"tracestate":"a=1","traceparent":"{PARENT}"}}"#
        ))
        .unwrap();
        assert_eq!((good.parent(), good.state()), (PARENT, Some("a=1")));
        assert_eq!(good.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(good.parent_id(), "00f067aa0ba902b7");
        let bad = read(&format!(r#"{{"tracestate":"A","traceparent":"{PARENT}"}}"#)).unwrap();
        assert_eq!(bad.state(), None);
        assert_eq!(read(r#"{"tracestate":"a=1","traceparent":7}"#), None);
        assert_eq!(read(r#"{"tracestate":"a=1"}"#), None);
    }
}
