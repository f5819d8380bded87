//! Stored events that are sent again to one webhook. Pure.
//!
//! A replay is a subscription for a while: a second cursor, over a range whose end was fixed when it
//! was asked for, with a filter of its own beside the webhook's. Everything else it does as its
//! webhook does, with a part of its concurrency and behind its live traffic (`hold`).

mod hold;

use jiff::Timestamp;

pub(super) use hold::{Hold, hold, share};

use super::pattern::Patterns;
use super::{Rate, Subscription};
use crate::event::{Event, Expression};
use crate::event_log::read;
use crate::event_log::replays::{ReplayRow, Request};

/// What makes a subscription a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Its number.
    pub id: i64,
    /// The webhook that it sends to.
    pub webhook: String,
    /// The last event of its range.
    pub up_to: i64,
    /// Which events of the range it takes.
    pub filter: Filter,
    /// Requests per second at the most.
    pub per_second: Option<f64>,
}

/// Which events a replay takes: everything that is set has to hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Types.
    pub types: Option<Patterns>,
    /// Committed at this time or later.
    pub from: Option<Timestamp>,
    /// Committed before this time.
    pub to: Option<Timestamp>,
    /// Of this resource.
    pub resource: Option<String>,
    /// With this key.
    pub resource_id: Option<String>,
    /// For which this holds.
    pub when: Option<Expression>,
}

impl Filter {
    /// Reads what was asked for.
    ///
    /// # Errors
    /// A sentence that says what cannot be understood.
    pub fn of(request: &Request) -> Result<Self, String> {
        Ok(Self {
            when: request.when.as_deref().map(parse_when).transpose()?,
            types: request.types.as_deref().map(Patterns::parse).transpose()?,
            from: request.from,
            to: request.to,
            resource: request.resource.clone(),
            resource_id: request.resource_id.clone(),
        })
    }

    /// What of it the log can look for itself, in `after < sequence_id <= up_to`.
    #[must_use]
    pub fn within(&self, after: i64, up_to: i64) -> read::Filter {
        read::Filter {
            after: Some(after),
            before: Some(up_to.saturating_add(1)),
            resource: self.resource.clone(),
            resource_id: self.resource_id.clone(),
            from: self.from,
            to: self.to,
            ..read::Filter::default()
        }
    }

    fn takes(&self, event: &Event) -> bool {
        let at = event.created_at;
        self.from.is_none_or(|from| from.as_microsecond() <= at)
            && self.to.is_none_or(|to| at < to.as_microsecond())
            && self
                .types
                .as_ref()
                .is_none_or(|types| types.matches(&event.event_type))
            && self
                .resource
                .as_ref()
                .is_none_or(|resource| **resource == *event.resource)
            && self
                .resource_id
                .as_ref()
                .is_none_or(|id| event.resource_id.as_deref() == Some(id))
    }
}

/// Reads `--when`.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse_when(expression: &str) -> Result<Expression, String> {
    Expression::compile(expression).map_err(|mistake| format!("--when: {mistake}"))
}

impl Replay {
    /// Reads a row.
    ///
    /// # Errors
    /// A sentence that says what cannot be understood.
    pub fn of(row: &ReplayRow) -> Result<Self, String> {
        Ok(Self {
            id: row.id,
            webhook: row.request.webhook.clone(),
            up_to: row.request.up_to,
            filter: Filter::of(&row.request)?,
            per_second: row.request.per_second,
        })
    }

    /// How many requests it may make where its webhook gets so many: a quarter on top, unless it was
    /// asked to be slower.
    fn rate(&self, webhook: Option<Rate>) -> Option<Rate> {
        let share = webhook.map(Rate::quarter);
        let asked = self.per_second.and_then(Rate::per_second);
        match (share, asked) {
            (Some(share), Some(asked)) => Some(share.slower(asked)),
            (share, asked) => share.or(asked),
        }
    }

    /// Whether it takes an event, whatever its webhook makes of it.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        event.sequence_id <= self.up_to && self.filter.takes(event)
    }
}

impl Subscription {
    /// The same webhook as one of its replays serves it.
    #[must_use]
    pub fn replaying(&self, name: &str, replay: Replay) -> Self {
        Self {
            name: name.to_owned(),
            concurrency: share(self.concurrency),
            rate: replay.rate(self.rate),
            replay: Some(replay),
            ..self.clone()
        }
    }

    /// The webhook that it is, or that it is a replay of.
    #[must_use]
    pub fn webhook(&self) -> &str {
        self.replay
            .as_ref()
            .map_or(&self.name, |replay| &replay.webhook)
    }
}

/// Reads a rate: `50/s`, `600/m`, `1000/h`; gives how many per second.
///
/// # Errors
/// A sentence that says what is expected.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is not a rate such as \"50/s\", \"600/m\" or \"1000/h\"");
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.trim().parse().map_err(|_| wrong())?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    match count {
        0 => Err("a rate of 0 would never end".to_owned()),
        count => Ok(f64::from(count) / seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_unit() {
        assert_eq!(parse_rate("50/s"), Ok(50.0));
        assert_eq!(parse_rate("600/m"), Ok(10.0));
        assert_eq!(parse_rate("900/h"), Ok(0.25));
        for wrong in ["50", "0/s", "/s", "1.5/s", "50/d", "-1/s", ""] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_expression_that_is_not_understood_is_no_filter_that_lets_everything_pass() {
        let request = |when: &str| Request {
            when: Some(when.into()),
            ..Request::default()
        };
        assert!(Filter::of(&request("new.total >")).is_err());
        assert!(Filter::of(&request("new.total > 100")).is_ok());
    }

    #[test]
    fn it_gets_a_quarter_of_its_webhooks_rate_unless_it_is_to_be_slower() {
        let rate = |per_second| Rate::per_second(per_second).unwrap();
        let replay = |per_second| Replay {
            id: 1,
            webhook: String::new(),
            up_to: 0,
            filter: Filter::default(),
            per_second,
        };
        for (webhook, asked, gets) in [
            (None, None, None),
            (None, Some(50.0), Some(rate(50.0))),
            (Some(rate(200.0)), None, Some(rate(50.0))),
            (Some(rate(200.0)), Some(10.0), Some(rate(10.0))),
            (Some(rate(200.0)), Some(500.0), Some(rate(50.0))),
        ] {
            assert_eq!(replay(asked).rate(webhook), gets);
        }
    }
}
