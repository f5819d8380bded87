//! Waits that end together. What looks at something now and then does it when others do, too: an idle
//! daemon wakes up once for all of them, and for the rest of the second not at all.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Waits for the next beat: no longer than the interval, and less after something that took long.
pub(crate) async fn beat(interval: Duration) {
    tokio::time::sleep_until(next_beat(Instant::now(), interval)).await;
}

/// The first multiple of the interval, counted from the start of the process, that is still to come.
pub(crate) fn next_beat(now: Instant, interval: Duration) -> Instant {
    let start = *START;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let interval = millis(interval).max(1);
    let beats = millis(now.saturating_duration_since(start)) / interval + 1;
    start + Duration::from_millis(beats.saturating_mul(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_wakes_with_the_others() {
        let second = Duration::from_secs(1);
        let early = next_beat(Instant::now(), second);
        for later in [0, 1, 500, 999] {
            let now = early + Duration::from_millis(later);
            assert_eq!(next_beat(now, second), early + second, "{later}");
            assert_eq!(
                next_beat(now, Duration::ZERO),
                now + Duration::from_millis(1)
            );
            let five = next_beat(now, 5 * second);
            assert!(five > now && five <= now + 5 * second);
            assert_eq!((five - early).subsec_nanos(), 0);
        }
    }
}
