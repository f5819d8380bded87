//! When to read. Pure.
//!
//! The server sends each message on its own as soon as the socket takes it. A reader that is always
//! ready makes it pay a system call and a wake-up per message; one that lets data gather while much
//! is coming gets it in few, large pieces, if the way between them is short. While little is coming
//! nothing ever waits.

use std::time::Duration;

use tokio::time::Instant;

/// Over this time messages are counted.
const WINDOW: Duration = Duration::from_millis(10);
/// So many in that time are much: 20,000 a second, several thousand small transactions.
const MUCH: u32 = 200;
/// How long data gathers: the least that the timer can do.
const PAUSE: Duration = Duration::from_millis(1);

/// How fast messages come, and whether to wait for more of them.
#[derive(Debug)]
pub(super) struct Pace {
    /// Whether it pays on this connection.
    gathers: bool,
    since: Instant,
    taken: u32,
    much: bool,
    pause_ends: Option<Instant>,
}

impl Pace {
    pub(super) fn new(gathers: bool, now: Instant) -> Self {
        Self {
            gathers,
            since: now,
            taken: 0,
            much: false,
            pause_ends: None,
        }
    }

    /// Messages were taken; `drained` if no more are waiting.
    pub(super) fn took(&mut self, messages: u32, drained: bool, now: Instant) {
        self.taken = self.taken.saturating_add(messages);
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= WINDOW {
            let windows = elapsed.as_secs_f64() / WINDOW.as_secs_f64();
            self.much = f64::from(self.taken) >= f64::from(MUCH) * windows;
            self.taken = 0;
            self.since = now;
        }
        self.pause_ends = (self.gathers && self.much && drained).then(|| now + PAUSE);
    }

    /// Until when data gathers; `None` if it is to be read at once.
    pub(super) fn gathers_until(&self, now: Instant) -> Option<Instant> {
        self.pause_ends.filter(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `messages` every `step` for a second; says whether the last ones were followed by a pause.
    fn pauses(messages: u32, step: Duration, drained: bool) -> bool {
        let start = Instant::now();
        let (mut pace, mut now) = (Pace::new(true, start), start);
        while now < start + Duration::from_secs(1) {
            now += step;
            pace.took(messages, drained, now);
        }
        pace.gathers_until(now).is_some()
    }

    #[tokio::test]
    async fn data_gathers_only_while_much_is_coming_and_none_is_waiting() {
        assert!(
            !pauses(4, Duration::from_millis(2), true),
            "500 small transactions a second"
        );
        assert!(
            !pauses(4, Duration::from_millis(1), true),
            "1,000 small transactions a second"
        );
        assert!(
            pauses(1, Duration::from_micros(20), true),
            "a backlog, message by message"
        );
        assert!(
            pauses(256, Duration::from_millis(3), true),
            "a backlog, in large pieces"
        );
        assert!(
            !pauses(256, Duration::from_millis(3), false),
            "more is waiting"
        );
    }

    #[tokio::test]
    async fn the_first_message_after_a_lull_is_read_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(true, start);
        pace.took(100_000, true, start + WINDOW);
        assert!(pace.gathers_until(start + WINDOW).is_some());
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.gathers_until(later), None);
        pace.took(1, true, later);
        assert_eq!(pace.gathers_until(later), None);
    }
}
