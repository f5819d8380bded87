//! How much WAL the slot holds back, against what it may: levels, growth, and the time that is left.
//! Pure.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::{Value, json};

/// Growth is measured over this time.
const WINDOW: Duration = Duration::from_secs(300);

/// How much of the budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Less than half.
    Fine,
    /// Half or more.
    Half,
    /// All of it.
    Over,
}

impl Level {
    /// The level of `held` bytes. One that was reached is left a little later, so that it does not
    /// flutter.
    #[must_use]
    pub fn of(held: u64, budget: u64, before: Self) -> Self {
        let margin = |threshold: u64, reached: bool| match reached {
            true => threshold / 10 * 9,
            false => threshold,
        };
        if held >= margin(budget, before == Self::Over) {
            Self::Over
        } else if held >= margin(budget / 2, before != Self::Fine) {
            Self::Half
        } else {
            Self::Fine
        }
    }

    /// The word in events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Half => "half",
            Self::Over => "over",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "over" => Self::Over,
            "half" => Self::Half,
            _ => Self::Fine,
        }
    }
}

/// What was measured over the last minutes.
#[derive(Debug, Default)]
pub struct Growth(VecDeque<(Duration, u64)>);

impl Growth {
    /// Adds a measurement: when, on a clock that only goes forward, and how much was held.
    pub fn add(&mut self, at: Duration, held: u64) {
        self.0.push_back((at, held));
        while self
            .0
            .front()
            .is_some_and(|(first, _)| at.saturating_sub(*first) > WINDOW)
        {
            self.0.pop_front();
        }
    }

    /// Bytes per second by which it grows; `None` where it does not.
    #[must_use]
    pub fn bytes_per_second(&self) -> Option<u64> {
        let ((began, first), (ended, last)) = (self.0.front()?, self.0.back()?);
        let millis = ended.saturating_sub(*began).as_millis();
        let grown = u128::from(last.checked_sub(*first)?);
        let rate = (grown * 1000).checked_div(millis)?;
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }
}

/// What the slot holds back, and what becomes of it at the present rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Bytes that the slot holds back.
    pub held: u64,
    /// Bytes that it may.
    pub budget: u64,
    /// Bytes per second by which that grows; `None` where it does not.
    pub bytes_per_second: Option<u64>,
}

impl Forecast {
    /// Until the budget is used up; `None` where it does not grow.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let seconds = self
            .budget
            .saturating_sub(self.held)
            .checked_div(self.bytes_per_second?)?;
        Some(Duration::from_secs(seconds))
    }

    /// What an event says of it.
    #[must_use]
    pub fn record(&self, slot: &str, level: Level) -> Value {
        json!({
            "slot": slot,
            "level": level.as_str(),
            "held_bytes": self.held,
            "budget_bytes": self.budget,
            "bytes_per_second": self.bytes_per_second,
            "seconds_left": self.left().map(|left| left.as_secs()),
        })
    }
}

/// `about 3 h at 1.2 MiB/s`; of one that does not grow, `it does not grow`.
impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(rate), Some(left)) = (self.bytes_per_second, self.left()) else {
            return f.write_str("it does not grow");
        };
        let rate = ByteSize(rate);
        match left.as_secs() {
            0 => write!(f, "none, at {rate}/s"),
            seconds @ ..120 => write!(f, "about {seconds} s at {rate}/s"),
            seconds @ ..7200 => write!(f, "about {} min at {rate}/s", seconds / 60),
            seconds @ ..172_800 => write!(f, "about {} h at {rate}/s", seconds / 3600),
            seconds => write!(f, "about {} days at {rate}/s", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_do_not_flutter() {
        use Level::{Fine, Half, Over};
        for (held, before, level) in [
            (0, Fine, Fine),
            (49, Fine, Fine),
            (50, Fine, Half),
            (49, Half, Half),
            (44, Half, Fine),
            (100, Half, Over),
            (91, Over, Over),
            (89, Over, Half),
            (10, Over, Fine),
        ] {
            assert_eq!(
                Level::of(held * 1000, 100_000, before),
                level,
                "{held} {before:?}"
            );
            assert_eq!(Level::parse(level.as_str()), level);
        }
    }

    fn growth(held: &[u64]) -> Option<u64> {
        let mut growth = Growth::default();
        for (at, held) in (0..).zip(held) {
            growth.add(Duration::from_secs(at * 5), *held);
        }
        growth.bytes_per_second()
    }

    #[test]
    fn growth_is_that_of_the_last_minutes() {
        assert_eq!(growth(&[]), None);
        assert_eq!(growth(&[7]), None);
        assert_eq!(growth(&[7, 7]), None);
        assert_eq!(growth(&[1000, 2000]), Some(200));
        assert_eq!(growth(&[1000, 900]), None);
        // It was released meanwhile and grows again.
        assert_eq!(growth(&[1000, 50_000, 2000]), Some(100));
        let long: Vec<u64> = (0..1000).map(|step| u64::pow(step, 2)).collect();
        assert_eq!(growth(&long), Some((999 * 999 - 939 * 939) / 300));
    }

    #[test]
    fn the_time_left_is_said_in_a_unit_that_one_can_think_in() {
        let said = |held, rate| {
            let forecast = Forecast {
                held,
                budget: 10 << 30,
                bytes_per_second: rate,
            };
            forecast.to_string()
        };
        assert_eq!(said(0, None), "it does not grow");
        assert_eq!(said(11 << 30, Some(1024)), "none, at 1.0 KiB/s");
        assert_eq!(said(9 << 30, Some(100 << 20)), "about 10 s at 100.0 MiB/s");
        assert_eq!(said(5 << 30, Some(1 << 20)), "about 85 min at 1.0 MiB/s");
        assert_eq!(said(0, Some(1_258_291)), "about 2 h at 1.2 MiB/s");
        assert_eq!(said(0, Some(1024)), "about 121 days at 1.0 KiB/s");
        assert_eq!(said(0, Some(1)), "about 124275 days at 1 B/s");
    }
}
