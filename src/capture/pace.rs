//! When to read. Pure.
//!
//! The server sends each message on its own as soon as the socket takes it. A reader that is always
//! ready makes it pay a system call and a wake-up per message; one that lets data gather while much
//! is coming gets it in few, large pieces. And what comes in one piece is one commit of the log: under
//! many small transactions, commits of their own are what the application beside feels most: while they
//! are many the log commits every few reads only. While little is coming nothing ever waits.
//!
//! What gathers is less than what surely has room on the way, so that the server does not wait for the
//! reader. One that has fallen behind finds more than that each time, and waits less and less.

use std::time::Duration;

use tokio::time::Instant;

/// Over this time is counted what comes.
const WINDOW: Duration = Duration::from_millis(10);

/// So many transactions a second are many: well above the rate at which latency is promised (1,000), and
/// below what a busy application does (`benches/run.sh app`).
const MANY_TRANSACTIONS: f64 = 2_500.0;
/// How long they gather at the most, in seconds. Twice as long gave `benches/run.sh app` no more.
const LONGEST: f64 = 0.005;

/// How far apart commits of the log are while transactions are many. Each one takes its turn at the WAL
/// with those of the application. 50 and 100 ms gave `benches/run.sh app` no more.
const COMMIT_INTERVAL: Duration = Duration::from_millis(20);
/// A batch of so many bytes is committed at once: more than an application at full speed brings in that
/// time, and what a backlog brings in 2 ms.
const WORTH_A_COMMIT: usize = 256 << 10;

/// So many messages a second are much.
const MUCH: f64 = 20_000.0;
/// How long they gather at the most where transactions are few, in seconds.
const LONGEST_OF_FEW: f64 = 0.001;

/// Messages that have room in a Unix socket's buffer (some 160 of them), less a part that is to
/// stay free.
const MESSAGES_ON_THE_WAY: f64 = 96.0;
/// Bytes that have room in a local connection's window, likewise.
const BYTES_ON_THE_WAY: f64 = 24.0 * 1024.0;

/// A shorter pause is none: it would set a timer for a handful of messages.
const SHORTEST: Duration = Duration::from_micros(100);

/// What was read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    pub(super) messages: u32,
    pub(super) bytes: usize,
    /// Transactions that ended in it.
    pub(super) transactions: u32,
}

/// How fast messages come, and whether to wait for more of them.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    taken: Taken,
    pause: Option<Duration>,
    pause_ends: Option<Instant>,
    /// Whether transactions are many.
    many: bool,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            taken: Taken::default(),
            pause: None,
            pause_ends: None,
            many: false,
        }
    }

    /// This was taken since `began`; `drained` if no more is waiting. What is to come gathers from there
    /// on, for it comes while this is taken in, too.
    pub(super) fn took(&mut self, taken: Taken, drained: bool, began: Instant, now: Instant) {
        self.taken.messages = self.taken.messages.saturating_add(taken.messages);
        self.taken.bytes = self.taken.bytes.saturating_add(taken.bytes);
        self.taken.transactions = self.taken.transactions.saturating_add(taken.transactions);
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= WINDOW {
            let seconds = elapsed.as_secs_f64();
            self.pause = pause(self.taken, seconds);
            self.many = f64::from(self.taken.transactions) / seconds >= MANY_TRANSACTIONS;
            self.taken = Taken::default();
            self.since = now;
        }
        self.pause_ends = self.pause.filter(|_| drained).map(|pause| began + pause);
    }

    /// Until when data gathers; `None` if it is to be read at once.
    pub(super) fn gathers_until(&self, now: Instant) -> Option<Instant> {
        self.pause_ends.filter(|end| *end > now)
    }

    /// Until when a batch of so many bytes is not committed, where the last one was begun at `before`;
    /// `None` if it is to be committed at once.
    pub(super) fn commits_at(
        &self,
        before: Instant,
        bytes: usize,
        now: Instant,
    ) -> Option<Instant> {
        let at = before + COMMIT_INTERVAL;
        (self.many && bytes < WORTH_A_COMMIT && at > now).then_some(at)
    }
}

/// How long what comes as fast as this is to gather.
#[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
fn pause(taken: Taken, seconds: f64) -> Option<Duration> {
    let messages = f64::from(taken.messages) / seconds;
    let bytes = taken.bytes as f64 / seconds;
    let transactions = f64::from(taken.transactions) / seconds;
    let longest = match (transactions >= MANY_TRANSACTIONS, messages >= MUCH) {
        (true, _) => LONGEST,
        (false, true) => LONGEST_OF_FEW,
        (false, false) => return None,
    };
    let has_room = (MESSAGES_ON_THE_WAY / messages).min(BYTES_ON_THE_WAY / bytes);
    let pause = Duration::try_from_secs_f64(has_room.min(longest));
    pause.ok().filter(|pause| *pause >= SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Taken = Taken {
        messages: 3,
        bytes: 600,
        transactions: 1,
    };

    fn times(taken: Taken, times: u32) -> Taken {
        Taken {
            messages: taken.messages * times,
            bytes: taken.bytes * times as usize,
            transactions: taken.transactions * times,
        }
    }

    /// Takes this every `step` for a second; how long the last pause is.
    fn pause_of(taken: Taken, step: Duration, drained: bool) -> Option<Duration> {
        let start = Instant::now();
        let (mut pace, mut now) = (Pace::new(start), start);
        while now < start + Duration::from_secs(1) {
            now += step;
            pace.took(taken, drained, now, now);
        }
        pace.gathers_until(now).map(|end| end - now)
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn nothing_waits_while_little_is_coming() {
        assert_eq!(pause_of(SMALL, 2 * MILLISECOND, true), None);
        assert_eq!(pause_of(SMALL, MILLISECOND, true), None);
        let large = Taken {
            messages: 12,
            bytes: 20_000,
            transactions: 1,
        };
        assert_eq!(pause_of(large, MILLISECOND, true), None);
    }

    #[tokio::test]
    async fn many_small_transactions_gather_as_long_as_they_have_room() {
        let pause = pause_of(times(SMALL, 4), MILLISECOND, true);
        assert_eq!(pause, Some(Duration::from_millis(5)), "4,000 a second");
        let pause = pause_of(times(SMALL, 16), MILLISECOND, true);
        assert_eq!(pause, Some(Duration::from_millis(2)), "16,000 a second");
        let pause = pause_of(times(SMALL, 64), MILLISECOND, true);
        assert_eq!(pause, Some(Duration::from_micros(500)), "a backlog");
        let pause = pause_of(times(SMALL, 16), MILLISECOND, false);
        assert_eq!(pause, None, "more is waiting");
        let pause = pause_of(times(SMALL, 500), MILLISECOND, true);
        assert_eq!(pause, None, "it fills at once what has room");
    }

    #[tokio::test]
    async fn commits_keep_apart_only_while_transactions_are_many_and_batches_are_small() {
        let start = Instant::now();
        let after = |taken| {
            let mut pace = Pace::new(start);
            let now = start + WINDOW;
            pace.took(taken, true, now, now);
            (pace, now)
        };
        let (few, now) = after(times(SMALL, 24));
        assert_eq!(few.commits_at(now, 100, now), None, "2,400 a second");
        let (many, now) = after(times(SMALL, 26));
        let next = now + COMMIT_INTERVAL;
        assert_eq!(many.commits_at(now, 100, now), Some(next), "2,600 a second");
        assert_eq!(many.commits_at(now, 100, next), None, "its time has come");
        assert_eq!(many.commits_at(now, WORTH_A_COMMIT, now), None, "large");
        let (mut lull, now) = after(times(SMALL, 100));
        let later = now + Duration::from_secs(1);
        lull.took(SMALL, true, later, later);
        assert_eq!(lull.commits_at(later, 100, later), None, "after a lull");
    }

    #[tokio::test]
    async fn wide_rows_gather_for_as_long_as_they_have_room() {
        let wide = Taken {
            messages: 12,
            bytes: 12 << 10,
            transactions: 4,
        };
        let pause = pause_of(wide, MILLISECOND, true);
        assert_eq!(pause, Some(2 * MILLISECOND));
        let wider = Taken {
            bytes: 400 << 10,
            ..wide
        };
        assert_eq!(pause_of(wider, MILLISECOND, true), None);
    }

    #[tokio::test]
    async fn a_large_transaction_gathers_for_a_moment() {
        let part = |messages| Taken {
            messages,
            bytes: 100,
            transactions: 0,
        };
        let pause = pause_of(part(30), MILLISECOND, true);
        assert_eq!(pause, Some(MILLISECOND));
        let pause = pause_of(part(192), MILLISECOND, true);
        assert_eq!(pause, Some(Duration::from_micros(500)));
    }

    #[tokio::test]
    async fn what_is_taken_in_for_long_has_gathered_meanwhile() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let began = start + WINDOW;
        let (soon, late) = (began + Duration::from_micros(100), began + 10 * MILLISECOND);
        pace.took(times(SMALL, 160), true, began, soon);
        let end = pace.gathers_until(soon).unwrap();
        let from_there = end - began;
        assert!(
            from_there > MILLISECOND && from_there < 3 * MILLISECOND,
            "{from_there:?}"
        );
        assert_eq!(pace.gathers_until(late), None);
    }

    /// As a server that fills what has room and then waits would be read: each time a full buffer.
    #[tokio::test]
    async fn a_reader_that_is_behind_waits_less_and_less() {
        let full = times(SMALL, 160 / 3);
        let start = Instant::now();
        let (mut pace, mut now) = (Pace::new(start), start);
        pace.took(times(SMALL, 40), true, start + WINDOW, start + WINDOW);
        assert!(pace.gathers_until(start + WINDOW).is_some());
        for _ in 0..500 {
            now = pace.gathers_until(now).unwrap_or(now) + Duration::from_micros(100);
            pace.took(full, true, now, now);
        }
        let pause = pace
            .gathers_until(now)
            .map_or(Duration::ZERO, |end| end - now);
        assert!(pause <= Duration::from_micros(200), "{pause:?}");
    }

    #[tokio::test]
    async fn the_first_message_after_a_lull_is_read_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.took(times(SMALL, 100), true, start + WINDOW, start + WINDOW);
        assert!(pace.gathers_until(start + WINDOW).is_some());
        let later = start + Duration::from_secs(60);
        assert_eq!(pace.gathers_until(later), None);
        pace.took(SMALL, true, later, later);
        assert_eq!(pace.gathers_until(later), None);
    }
}
