//! Durations and sizes.

use std::time::Duration;

use bytesize::ByteSize;

/// A duration above zero: `10s`, `1h 30m`, `90d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than 0".into()),
        Ok(duration) => Ok(duration),
        Err(cause) => Err(format!(
            "{text:?} is not a duration ({cause}); write for example \"500ms\", \"10s\", \"2h\", \"90d\""
        )),
    }
}

/// A size above zero in bytes: `20GiB` is 20 · 2³⁰, `20GB` is 20 · 10⁹.
pub(super) fn size(text: &str) -> Result<u64, String> {
    match text.parse::<ByteSize>() {
        Ok(ByteSize(0)) => Err("must be more than 0".into()),
        Ok(size) => Ok(size.as_u64()),
        Err(_) => Err(format!(
            "{text:?} is not a size; write for example \"512MiB\", \"20GiB\""
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_required_and_read_as_they_are_written() {
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("0s"), Err("must be longer than 0".into()));
        assert!(
            duration("10")
                .unwrap_err()
                .starts_with("\"10\" is not a duration (time unit")
        );
        assert_eq!(size("20GiB"), Ok(20 << 30));
        assert_eq!(size("20GB"), Ok(20_000_000_000));
        assert!(size("lots").is_err());
    }
}
