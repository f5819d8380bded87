//! Places at which a test can end the process, or make a step fail, to prove that nothing is lost
//! there; and waits that a test can shorten. Only with the cargo feature `failpoints`; without it they
//! are nothing at all.
//!
//! The environment variable `FAILPOINTS` sets them: `log.committed=3*off->return` aborts the process
//! when it passes that place for the fourth time, `…->return(fault)` fails the step there instead.
//! `ROWHOOK_TEST_LOOKS=100ms` is the longest time between two looks at what others have written.

use std::time::Duration;

use crate::fault::Result;

/// Passes a place.
///
/// # Errors
/// Transient, where a test asked for it.
#[cfg(feature = "failpoints")]
pub(crate) fn pass(place: &str) -> Result<()> {
    fail::fail_point!(place, |asked| match asked.as_deref() {
        Some("fault") => Err(crate::fault::Fault::transient(format!("failpoint {place}"))),
        _ => std::process::abort(),
    });
    Ok(())
}

/// Passes a place.
#[cfg(not(feature = "failpoints"))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it can fail")]
pub(crate) const fn pass(_place: &str) -> Result<()> {
    Ok(())
}

/// The time between two looks, where it is this long otherwise.
#[cfg(feature = "failpoints")]
pub(crate) fn between_looks(usual: Duration) -> Duration {
    static LONGEST: std::sync::LazyLock<Option<Duration>> = std::sync::LazyLock::new(|| {
        let asked = std::env::var("ROWHOOK_TEST_LOOKS").ok()?;
        humantime::parse_duration(&asked).ok()
    });
    LONGEST.map_or(usual, |longest| usual.min(longest))
}

/// The time between two looks.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn between_looks(usual: Duration) -> Duration {
    usual
}
