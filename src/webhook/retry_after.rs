//! The `Retry-After` header: RFC 9110, section 10.2.3.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The longest wait that is obeyed. A receiver that asks for more has usually put a time of day or
/// milliseconds where seconds belong, and would hold up its own events for years.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The format that RFC 9110 has servers send (section 5.6.7); the obsolete ones are not read.
const IMF_FIXDATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// Reads positive whole seconds or a date that lies after `now`, capped at 24 hours. `None` for
/// anything else: garbage must not keep an event from being retried.
pub(super) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number that does not fit is left to fail here, and it is above the cap anyway.
        value.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        until(value, now)?
    };
    (!wait.is_zero()).then(|| wait.min(LONGEST))
}

fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let date = DateTime::strptime(IMF_FIXDATE, date).ok()?;
    let then = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    then.duration_since(now).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_garbage_is_not() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        for (value, seconds) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("86400", Some(86_400)),
            ("86401", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Tue, 31 Dec 2999 23:59:59 GMT", Some(86_400)),
            ("0", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:00 GMT", None),
            ("Sun, 06 Nov 1994 08:48:59 GMT", None),
            ("Mon, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 31 Feb 1999 08:49:37 GMT", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(parse(value, now), expected, "{value:?}");
        }
    }
}
