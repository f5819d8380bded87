//! Log sequence numbers.

use std::fmt;
use std::str::FromStr;

/// A byte position in the write-ahead log, printed as Postgres prints `pg_lsn`: `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

/// Text that is not an LSN: two halves of one to eight hexadecimal digits with a slash between.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an LSN: {0:?} (expected two hexadecimal halves, such as 16/B374D848)")]
pub struct LsnParseError(String);

impl Lsn {
    /// No position: `0/0` is invalid as a WAL location.
    pub const INVALID: Self = Self(0);

    /// The distance in bytes from `earlier` to this position; zero if this one is earlier.
    #[must_use]
    pub fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl FromStr for Lsn {
    type Err = LsnParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || LsnParseError(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(wrong)?;
        let high = half(high).ok_or_else(wrong)?;
        let low = half(low).ok_or_else(wrong)?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

/// One to eight hexadecimal digits. `from_str_radix` alone would take a sign and leading zeros.
fn half(digits: &str) -> Option<u32> {
    let shape =
        (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if shape {
        u32::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lsn_is_read_as_postgres_reads_it() {
        assert_eq!("16/B374D848".parse(), Ok(Lsn(0x16_B374_D848)));
        assert_eq!("0/0".parse(), Ok(Lsn::INVALID));
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        for wrong in [
            "",
            "/",
            "1",
            "1/",
            "/1",
            "123456789/0",
            "0/000000001",
            "+1/0",
            "1/2/3",
            "g/0",
            "1/ 2",
        ] {
            assert!(wrong.parse::<Lsn>().is_err(), "{wrong:?}");
        }
    }
}
