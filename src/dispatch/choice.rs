//! Does a subscription want an event? Pure.

use super::Subscription;
use crate::event::{Event, Expression, Fields, OldRow};

/// What a subscription makes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// It wants it.
    Wanted,
    /// It does not.
    Filtered(Rule),
    /// It cannot tell, and the reason: the event is parked with it.
    Failed(String),
}

/// What kept an event from a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// None of its patterns has the event's type.
    Events,
    /// None of the columns changed.
    Changed,
    /// The condition is not met.
    When,
    /// The replay is of other events.
    Replay,
}

impl Rule {
    /// The key in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Changed => "changed",
            Self::When => "when",
            Self::Replay => "replay",
        }
    }
}

/// What has to be true of an event of the right type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Columns of which an update has to change one; `None` takes every update.
    pub changed: Option<Vec<String>>,
    /// What has to hold.
    pub when: Option<Expression>,
}

impl Conditions {
    fn judge(&self, event: &Event) -> Choice {
        if let Some(columns) = &self.changed
            && !may_have_changed(columns, event)
        {
            return Choice::Filtered(Rule::Changed);
        }
        match self.when.as_ref().map(|when| when.holds(event)) {
            None | Some(Ok(true)) => Choice::Wanted,
            Some(Ok(false)) => Choice::Filtered(Rule::When),
            Some(Err(reason)) => Choice::Failed(format!("when: {reason}")),
        }
    }
}

/// Whether one of the columns changed, as far as is known: where the old row is not, an update is
/// rather sent once too often than lost. Only updates are looked at, as Hasura's update columns do.
fn may_have_changed(columns: &[String], event: &Event) -> bool {
    if !event.action.is_update() {
        return true;
    }
    let previous = event.previous.as_deref().and_then(Fields::read);
    let (Some(previous), OldRow::Full) = (previous, event.old_row) else {
        return true;
    };
    columns
        .iter()
        .any(|column| previous.named(column).is_some() || event.unknown.contains(column))
}

impl Subscription {
    /// Whether it wants an event.
    #[must_use]
    pub fn choose(&self, event: &Event) -> Choice {
        if self
            .replay
            .as_ref()
            .is_some_and(|replay| !replay.takes(event))
        {
            return Choice::Filtered(Rule::Replay);
        }
        if !self.events.matches(&event.event_type) {
            return Choice::Filtered(Rule::Events);
        }
        match self.conditions.judge(event) {
            Choice::Wanted => self.replayed(event),
            choice => choice,
        }
    }

    /// What the condition of a replay makes of an event that its webhook wants.
    fn replayed(&self, event: &Event) -> Choice {
        let replay = self.replay.as_ref();
        match replay.and_then(|replay| replay.filter.when.as_ref()?.holds(event).into()) {
            None | Some(Ok(true)) => Choice::Wanted,
            Some(Ok(false)) => Choice::Filtered(Rule::Replay),
            Some(Err(reason)) => Choice::Failed(format!("--when: {reason}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Action;
    use crate::event::Origin;

    fn updated(previous: Option<&str>, old_row: OldRow) -> Event {
        Event {
            sequence_id: 1,
            event_id: uuid::Uuid::nil(),
            event_type: "t.updated".into(),
            resource: "t".into(),
            resource_id: Some("1".into()),
            action: Action::Updated,
            created_at: 0,
            record: Some(r#"{"id":1,"a":1,"b":2}"#.into()),
            previous: previous.map(Into::into),
            context: None,
            data: None,
            tenant: None,
            related: None,
            old_row,
            unknown: Vec::new(),
            as_text: Vec::new(),
            erased_at: None,
            origin: Origin {
                schema: "public".into(),
                table: "t".into(),
                xid: 1,
                commit_lsn: "0/1".parse().unwrap(),
                index: 0,
            },
        }
    }

    fn conditions(changed: &[&str], when: Option<&str>) -> Conditions {
        Conditions {
            changed: (!changed.is_empty())
                .then(|| changed.iter().map(ToString::to_string).collect()),
            when: when.map(|when| Expression::compile(when).unwrap()),
        }
    }

    #[test]
    fn an_update_of_other_columns_only_is_filtered() {
        let changed = conditions(&["a", "x"], None);
        let of = |previous, old_row| changed.judge(&updated(Some(previous), old_row));
        assert_eq!(of(r#"{"a":0}"#, OldRow::Full), Choice::Wanted);
        assert_eq!(of(r#"{"\u0061":0}"#, OldRow::Full), Choice::Wanted);
        let filtered = Choice::Filtered(Rule::Changed);
        assert_eq!(of(r#"{"b":0}"#, OldRow::Full), filtered);
        assert_eq!(of("{}", OldRow::Full), filtered);
    }

    #[test]
    fn what_may_have_changed_is_wanted() {
        let changed = conditions(&["a"], None);
        for event in [
            updated(None, OldRow::Absent),
            updated(Some(r#"{"id":0}"#), OldRow::Key),
            updated(Some(r#"{"b":0}"#), OldRow::Partial),
            Event {
                unknown: vec!["a".into()],
                ..updated(Some("{}"), OldRow::Full)
            },
        ] {
            assert_eq!(changed.judge(&event), Choice::Wanted, "{event:?}");
        }
        for action in [Action::Created, Action::Deleted, Action::Snapshot] {
            let event = Event {
                action,
                ..updated(None, OldRow::Absent)
            };
            assert_eq!(changed.judge(&event), Choice::Wanted, "{action:?}");
        }
    }

    #[test]
    fn a_condition_filters_and_says_why_it_cannot_tell() {
        let event = updated(Some(r#"{"a":0}"#), OldRow::Full);
        let judged = |when| conditions(&["a"], Some(when)).judge(&event);
        assert_eq!(judged("new.a > old.a"), Choice::Wanted);
        assert_eq!(judged("new.a < old.a"), Choice::Filtered(Rule::When));
        let failed = Choice::Failed("when: there is no `c`, or its value is not known".into());
        assert_eq!(judged("new.c == 1"), failed);
        let cheap = conditions(&["b"], Some("new.c == 1")).judge(&event);
        assert_eq!(cheap, Choice::Filtered(Rule::Changed));
    }
}
