//! From times to sequence ids, without reading what lies between.
//!
//! Sequence ids follow the order of commits, `created_at` is the source's clock at the commit. The
//! two agree but for a little: commits take their time a moment before their place, a clock is set
//! back, another server takes over. So a place is found by halving, with [`SLACK`] to spare, and who
//! wants it exactly asks for `created_at` within. A clock that was off by more than that hides events
//! from a search by time, never from one by sequence id.

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Client;

use crate::fault::Result;
use crate::wal::server_error::sql_fault;

/// How far an event's time may lie behind that of an earlier one.
const SLACK: SignedDuration = SignedDuration::from_mins(5);

const CANNOT_SEARCH: &str = "cannot look for a time in the log";

/// The part of `after < sequence_id <= up_to` outside of which no event was committed at `from` or
/// later and before `to`.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn narrowed(
    client: &Client,
    after: i64,
    up_to: i64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<(i64, i64)> {
    let after = match from {
        Some(from) => {
            let from = from.checked_sub(SLACK).unwrap_or(Timestamp::MIN);
            before_reaching(client, after, up_to, from).await?
        }
        None => after,
    };
    let up_to = match to {
        Some(to) => {
            let to = to.checked_add(SLACK).unwrap_or(Timestamp::MAX);
            before_reaching(client, after, up_to, to).await?
        }
        None => up_to,
    };
    Ok((after, up_to))
}

/// The sequence id before the first event in `after < sequence_id <= up_to` that was committed at
/// this time or later; `up_to` if there is none.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn before_first(client: &Client, after: i64, up_to: i64, time: Timestamp) -> Result<i64> {
    let fault = |error| sql_fault(CANNOT_SEARCH, error);
    let (after, _) = narrowed(client, after, up_to, Some(time), None).await?;
    let sql = "select sequence_id from rowhook.events \
                where sequence_id > $1 and sequence_id <= $2 and created_at >= $3 \
                order by sequence_id limit 1";
    let row = client.query_opt(sql, &[&after, &up_to, &time]).await;
    let row = row.map_err(fault)?.map(|row| row.try_get::<_, i64>(0));
    Ok(row.transpose().map_err(fault)?.map_or(up_to, |id| id - 1))
}

async fn before_reaching(client: &Client, after: i64, up_to: i64, time: Timestamp) -> Result<i64> {
    let fault = |error| sql_fault(CANNOT_SEARCH, error);
    let sql = "select sequence_id, created_at from rowhook.events \
                where sequence_id >= $1 and sequence_id <= $2 order by sequence_id limit 1";
    let mut halving = Halving {
        before: after,
        reached: up_to.saturating_add(1),
    };
    // It is asked some twenty times over.
    let asking = client.prepare(sql).await.map_err(fault)?;
    while let Some((from, to)) = halving.asks() {
        let row = client.query_opt(&asking, &[&from, &to]).await;
        let row = row.map_err(fault)?;
        let read = |row: tokio_postgres::Row| -> Result<_, tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get::<_, Timestamp>(1)?))
        };
        let found = row.map(read).transpose().map_err(fault)?;
        halving.told(from, found, time);
    }
    Ok(halving.before)
}

/// Looks for neighbours of which the first is before a time and the second is not. Pure.
#[derive(Debug)]
struct Halving {
    /// Before the time, or before the range.
    before: i64,
    /// At the time or later, or behind the range.
    reached: i64,
}

impl Halving {
    /// The first event within these bounds is to be told; `None` at the end.
    fn asks(&self) -> Option<(i64, i64)> {
        let middle = self.before + (self.reached - self.before) / 2;
        (middle > self.before).then_some((middle, self.reached - 1))
    }

    /// The first event from `asked` on that there is.
    fn told(&mut self, asked: i64, found: Option<(i64, Timestamp)>, time: Timestamp) {
        match found {
            Some((id, at)) if at < time => self.before = id,
            _ => self.reached = asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn search(events: &[(i64, i64)], after: i64, up_to: i64, time: i64) -> i64 {
        let mut halving = Halving {
            before: after,
            reached: up_to + 1,
        };
        let mut asked = 0;
        while let Some((from, to)) = halving.asks() {
            let mut within = events.iter().filter(|(id, _)| (from..=to).contains(id));
            let found = within.next().map(|(id, second)| (*id, at(*second)));
            halving.told(from, found, at(time));
            asked += 1;
            assert!(asked < 70);
        }
        halving.before
    }

    #[test]
    fn the_last_event_before_a_time_is_found_over_holes() {
        let events = [(3, 10), (4, 10), (9, 20), (10, 30)];
        for (time, expected) in [(5, 0), (10, 0), (11, 4), (20, 4), (25, 9), (31, 10)] {
            assert_eq!(search(&events, 0, 12, time), expected, "{time}");
        }
        assert_eq!(search(&[], 0, 12, 5), 0);
        assert_eq!(search(&events, 12, 12, 5), 12);
    }

    proptest! {
        /// Times that go back by less than the slack hide nothing from who leaves that much room.
        #[test]
        fn disorder_within_the_slack_loses_no_event(
            steps in proptest::collection::vec((1_i64..4, 0_i64..50, -20_i64..=20), 0..60),
            time in 0_i64..3000,
        ) {
            let (mut id, mut clock) = (0, 100);
            let mut events = Vec::new();
            for (step, pause, error) in steps {
                id += step;
                clock += pause;
                events.push((id, clock + error));
            }
            let from = search(&events, 0, id, time - 40);
            prop_assert!(events.iter().all(|(id, at)| *id > from || *at < time));
            let to = search(&events, 0, id, time + 40);
            prop_assert!(events.iter().all(|(id, at)| *id <= to || *at >= time));
        }
    }
}
