//! When a position with nothing to log in front of it is worth a checkpoint. Pure.
//!
//! Such a position lets the source release WAL while only other tables change. Recording it writes
//! a little WAL itself, where the log lives in the source: so not for every step, and hardly ever
//! for the few bytes that rowhook or a quiet server write.

use std::time::Duration;

use crate::wal::Lsn;

/// At least this long between two.
const SHORTEST: Duration = Duration::from_secs(1);
/// This much new WAL is released soon.
const MUCH: u64 = 1 << 20;
/// After this long, some WAL is enough.
const LONG: Duration = Duration::from_secs(10);
/// More than a checkpoint of our own leaves behind.
const SOME: u64 = 64 << 10;
/// After this long, any WAL is.
const LONGEST: Duration = Duration::from_secs(300);

/// Whether `position` should be recorded now, given what was `acknowledged` how long ago.
#[must_use]
pub(super) fn is_due(position: Lsn, acknowledged: Lsn, since: Duration) -> bool {
    let new = position.bytes_since(acknowledged);
    (new >= MUCH && since >= SHORTEST)
        || (new >= SOME && since >= LONG)
        || (new > 0 && since >= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_wal_waits_the_sooner_it_is_released() {
        for (bytes, seconds, due) in [
            (0, 10_000, false),
            (1, 299, false),
            (1, 300, true),
            (SOME, 9, false),
            (SOME, 10, true),
            (MUCH, 0, false),
            (MUCH, 1, true),
        ] {
            assert_eq!(
                is_due(Lsn(7 + bytes), Lsn(7), Duration::from_secs(seconds)),
                due,
                "{bytes} {seconds}"
            );
        }
        assert!(!is_due(Lsn(1), Lsn(7), Duration::from_secs(1000)));
    }
}
