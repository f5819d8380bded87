//! Parts of `[[webhook]]`: lanes, rate, batches, and what answers mean.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::Reader;
use super::units::duration;
use crate::dispatch::{Batching, OrderBy, Rate};
use crate::ops::settings::file::{self, Order};
use crate::webhook::{StatusAction, Statuses};

/// The longest time that events wait for others to go with: they wait in memory.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const MOST_REQUESTS: u32 = 1_000_000;

impl Reader<'_> {
    /// `None` in `Some`: it is not asked for.
    pub(super) fn batch(&mut self, at: &str, written: &file::Batch) -> Option<Option<Batching>> {
        let max_wait = self
            .problems
            .take(&format!("{at}.max_wait"), wait(&written.max_wait))?;
        let max_events = usize::from(written.max_events);
        if max_events < 2 && !max_wait.is_zero() {
            let what =
                "has nothing to wait for with max_events = 1; set max_events, or leave it out";
            self.problems.refuse(&format!("{at}.max_wait"), what);
            return None;
        }
        let max_events = NonZeroUsize::new(max_events).filter(|events| events.get() > 1);
        Some(max_events.map(|max_events| Batching {
            max_events,
            max_wait,
        }))
    }

    pub(super) fn statuses(
        &mut self,
        at: &str,
        written: &BTreeMap<String, file::StatusAction>,
    ) -> Statuses {
        let mut statuses = Statuses::default();
        for (key, action) in written {
            let action = match action {
                file::StatusAction::Retry => StatusAction::Retry,
                file::StatusAction::Dead => StatusAction::Dead,
                file::StatusAction::Settle => StatusAction::Settle,
                file::StatusAction::Pause => StatusAction::Pause,
            };
            self.problems
                .take(&format!("{at}.{key}"), statuses.insert(key, action));
        }
        statuses
    }
}

pub(super) fn order_by(order: Order, column: Option<&str>) -> Result<Option<OrderBy>, String> {
    match (column, order) {
        (None, _) => Ok(None),
        (Some(""), _) => Err("names no column".into()),
        (Some(column), Order::Resource) => Ok(Some(OrderBy::new(column))),
        (Some(_), Order::None) => Err(
            "means nothing with order = \"none\", which keeps no order at all; use order = \"resource\""
                .into(),
        ),
        (Some(_), Order::Strict) => Err(
            "means nothing with order = \"strict\", which keeps everything in order; use order = \"resource\""
                .into(),
        ),
    }
}

pub(super) fn rate(text: Option<&str>) -> Result<Option<Rate>, String> {
    let Some(text) = text else { return Ok(None) };
    let wrong =
        || format!("{text:?} is not a rate; write for example \"200/s\", \"90/m\", \"1000/h\"");
    let (requests, unit) = text.split_once('/').ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    if requests.is_empty() || !requests.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let requests = requests
        .parse()
        .ok()
        .filter(|requests| *requests <= MOST_REQUESTS)
        .ok_or_else(|| {
            format!("{text:?} is more than {MOST_REQUESTS}; leave it out for no bound")
        })?;
    let requests = NonZeroU32::new(requests)
        .ok_or_else(|| format!("{text:?} lets nothing out; `rowhook webhooks pause` does that"))?;
    Ok(Some(Rate {
        requests,
        per: Duration::from_secs(seconds),
    }))
}

/// A duration that may be zero.
fn wait(text: &str) -> Result<Duration, String> {
    if humantime::parse_duration(text) == Ok(Duration::ZERO) {
        return Ok(Duration::ZERO);
    }
    match duration(text)? {
        wait if wait <= LONGEST_WAIT => Ok(wait),
        _ => Err(format!("must be at most {LONGEST_WAIT:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_strictly() {
        for (text, requests, seconds) in [("200/s", 200, 1), ("90/m", 90, 60), ("1/h", 1, 3_600)] {
            let read = rate(Some(text)).unwrap().unwrap();
            assert_eq!(
                (read.requests.get(), read.per.as_secs()),
                (requests, seconds)
            );
        }
        assert_eq!(rate(None), Ok(None));
        for text in [
            "", "200", "200/", "/s", "200/d", "200/sec", "-1/s", "+1/s", "1.5/s", " 1/s", "1/s ",
        ] {
            let error = rate(Some(text)).unwrap_err();
            assert!(
                error.contains("is not a rate; write for example"),
                "{text:?}: {error}"
            );
        }
        assert!(rate(Some("0/s")).unwrap_err().contains("lets nothing out"));
        for text in ["1000001/s", "99999999999999/s"] {
            assert!(rate(Some(text)).unwrap_err().contains("more than 1000000"));
        }
    }

    #[test]
    fn a_wait_may_be_nothing_and_has_a_bound() {
        assert_eq!(wait("0s"), Ok(Duration::ZERO));
        assert_eq!(wait("250ms"), Ok(Duration::from_millis(250)));
        assert!(wait("2m").unwrap_err().contains("must be at most 60s"));
        assert!(wait("1").unwrap_err().contains("is not a duration"));
    }
}
