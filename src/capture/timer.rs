//! A timer for less than a millisecond, which is the least that the runtime's can do.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// One timer of the kernel.
pub(super) struct Timer {
    clock: AsyncFd<OwnedFd>,
    set_to: Option<Instant>,
}

impl Timer {
    /// # Errors
    /// As the system says.
    pub(super) fn new() -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "sound with a type that keeps its descriptor, as this one does"
        )]
        let watch = AsyncFd::new;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let clock = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self {
            clock: watch(clock)?,
            set_to: None,
        })
    }

    /// Waits for a time; for ever, if there is none. Safe to drop while it waits.
    ///
    /// # Errors
    /// As the system says.
    pub(super) async fn reached(&mut self, time: Option<Instant>) -> io::Result<()> {
        let Some(time) = time else {
            return std::future::pending().await;
        };
        while Instant::now() < time {
            if self.set_to != Some(time) {
                self.set(time.saturating_duration_since(Instant::now()))?;
                self.set_to = Some(time);
            }
            // It may tell of a time that it was set to before.
            self.clock.readable().await?.clear_ready();
        }
        self.set_to = None;
        Ok(())
    }

    fn set(&self, time: Duration) -> io::Result<()> {
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let once = Itimerspec {
            it_interval: never,
            // No time at all would switch it off.
            it_value: Timespec::try_from(time.max(Duration::from_nanos(1)))
                .map_err(io::Error::other)?,
        };
        timerfd_settime(self.clock.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_runs_out_when_told_to_and_can_be_set_again() {
        let mut timer = Timer::new().unwrap();
        for micros in [0, 200, 700] {
            let end = Instant::now() + Duration::from_micros(micros);
            timer.reached(Some(end)).await.unwrap();
            assert!(Instant::now() >= end);
        }
        // A wait that is dropped does not count for the next one.
        let soon = Instant::now() + Duration::from_micros(100);
        assert!(futures_util::FutureExt::now_or_never(timer.reached(Some(soon))).is_none());
        tokio::time::sleep(Duration::from_millis(2)).await;
        let later = Instant::now() + Duration::from_millis(20);
        timer.reached(Some(later)).await.unwrap();
        assert!(Instant::now() >= later);
        // A time that has passed is reached.
        timer.reached(Some(soon)).await.unwrap();
    }

    #[tokio::test]
    async fn without_a_time_it_waits_for_ever() {
        let mut timer = Timer::new().unwrap();
        assert!(futures_util::FutureExt::now_or_never(timer.reached(None)).is_none());
    }
}
