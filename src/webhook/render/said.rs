//! Who did it, as other systems ask for it: what the application said of its transaction, under the
//! names that it may have used.
//!
//! The first name that is there counts. Those that applications say come before those that
//! `rowhook.capture_context` finds, as what is said outright wins.

use std::borrow::Cow;

use crate::event::{Event, Fields};

const USER: &[&str] = &["userId", "user_id", "x-hasura-user-id", "sub"];
const USER_TYPE: &[&str] = &["userType", "user_type", "x-hasura-user-type"];
const EMAIL: &[&str] = &["email", "userEmail", "user_email", "x-hasura-user-email"];
const ADMIN: &[&str] = &["adminId", "admin_id", "x-hasura-admin-id"];
const CLIENT: &[&str] = &["clientId", "client_id", "x-hasura-client-id"];
const REQUEST: &[&str] = &["requestId", "request_id", "x-hasura-request-id"];

/// The parts of an event's context.
#[derive(Debug)]
pub(super) struct Said<'a> {
    /// Session variables; `None` where there are none.
    pub(super) session: Option<Fields<'a>>,
    /// Trace context; `None` where there is none.
    pub(super) trace: Option<Fields<'a>>,
}

impl<'a> Said<'a> {
    /// Reads an event's context.
    pub(super) fn of(event: &'a Event) -> Self {
        let context = event.context.as_deref().and_then(Fields::read);
        let part = |name| {
            let member = context.as_ref()?.named(name)?;
            Fields::read(member.value)
        };
        Self {
            session: part("sessionVariables"),
            trace: part("traceContext"),
        }
    }

    /// The id of the user who caused the event.
    pub(super) fn user(&self) -> Option<Cow<'a, str>> {
        first(self.session.as_ref(), USER)
    }

    /// What kind of user that is.
    pub(super) fn user_type(&self) -> Option<Cow<'a, str>> {
        first(self.session.as_ref(), USER_TYPE)
    }

    /// The user's address.
    pub(super) fn email(&self) -> Option<Cow<'a, str>> {
        first(self.session.as_ref(), EMAIL)
    }

    /// The id of an operator who acted, maybe on behalf of the user.
    pub(super) fn admin(&self) -> Option<Cow<'a, str>> {
        first(self.session.as_ref(), ADMIN)
    }

    /// The id of the application through which it came.
    pub(super) fn client(&self) -> Option<Cow<'a, str>> {
        first(self.session.as_ref(), CLIENT)
    }

    /// The id of the request that caused it: some count it to the trace.
    pub(super) fn request(&self) -> Option<Cow<'a, str>> {
        first(self.session.as_ref(), REQUEST).or_else(|| first(self.trace.as_ref(), REQUEST))
    }

    /// The service through which it came.
    pub(super) fn source(&self) -> Option<Cow<'a, str>> {
        first(self.session.as_ref(), &["source"])
    }

    /// What the trace has under one of these names.
    pub(super) fn traced(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        first(self.trace.as_ref(), names)
    }
}

/// The first of the members that is there and is a text with something in it, or a number.
fn first<'a>(fields: Option<&Fields<'a>>, names: &[&str]) -> Option<Cow<'a, str>> {
    let fields = fields?;
    let members = names.iter().filter_map(|name| fields.named(name));
    members.filter_map(|member| text(member.value)).next()
}

/// A JSON text's or number's text: ids are texts in other systems.
fn text(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' => {
            let text: String = serde_json::from_str(value).ok()?;
            (!text.is_empty()).then_some(Cow::Owned(text))
        }
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;
    use crate::event::Action;

    fn said(context: &'static str) -> Vec<Option<String>> {
        let event = Event {
            context: Some(context.into()),
            ..event(Action::Created)
        };
        let said = Said::of(&event);
        let all = [said.user(), said.admin(), said.request(), said.source()];
        all.map(|text| text.map(Cow::into_owned)).into()
    }

    #[test]
    fn a_name_that_is_said_comes_before_one_that_is_found() {
        let some = |text: &str| Some(text.to_owned());
        for (context, wanted) in [
            (
                r#"{"sessionVariables":{"sub":"s","user_id":7,"adminId":"ä\"1"},"traceContext":{"requestId":"r"}}"#,
                [some("7"), some("ä\"1"), some("r"), None],
            ),
            (
                r#"{"sessionVariables":{"sub":"s","userId":"","requestId":"a"},"traceContext":{"requestId":"r"}}"#,
                [some("s"), None, some("a"), None],
            ),
            (
                r#"{"sessionVariables":{"user_id":{"a":1},"admin_id":true,"request_id":null,"source":"\ud800"}}"#,
                [None, None, None, None],
            ),
            (r#"{"sessionVariables":[1]}"#, [None, None, None, None]),
            (r#"{"userId":"u1"}"#, [None, None, None, None]),
        ] {
            assert_eq!(said(context), wanted, "{context}");
        }
    }
}
