//! Waits shorter than a millisecond, which the runtime's own timer cannot do.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer of the kernel's.
pub(super) struct Nap {
    timer: AsyncFd<OwnedFd>,
}

impl Nap {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; this is sound for a descriptor that nobody else can close"
        )]
        let timer = AsyncFd::new(timer)?;
        Ok(Self { timer })
    }

    /// Waits. Dropped while it waits, it leaves nothing behind.
    pub(super) async fn take(&self, time: Duration) -> io::Result<()> {
        if time.is_zero() {
            // Which would stop the timer.
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(time).unwrap_or_default(),
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        let expirations = |timer: &OwnedFd| Ok(rustix::io::read(timer, &mut [0; 8])?);
        self.timer
            .async_io(tokio::io::Interest::READABLE, expirations)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn a_nap_is_as_long_as_told_also_after_one_that_was_dropped() {
        let nap = Nap::new().unwrap();
        let short = Duration::from_micros(300);
        tokio::select! {
            biased;
            _ = nap.take(short) => panic!("nothing waits for a timer that was set just now"),
            () = std::future::ready(()) => {}
        }
        let began = Instant::now();
        let long = Duration::from_millis(20);
        nap.take(long).await.unwrap();
        assert!(began.elapsed() >= long);
    }
}
