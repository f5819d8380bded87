//! Which addresses no webhook may connect to. Pure; [`Sender`](super::Sender) asks it about the
//! address of every connection.

mod forms;
mod range;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use self::range::{Range, words};

/// What is denied, and what is excepted from that. Off by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    deny: Vec<Range>,
    allow: Vec<Range>,
}

impl Guard {
    /// Denies what is in `deny` and not in `allow`.
    #[must_use]
    pub fn new(deny: Vec<Range>, allow: Vec<Range>) -> Self {
        Self { deny, allow }
    }

    /// Says whether a connection to this address may be made. An address that stands for others (a
    /// translated IPv4 address, say) may pass only if each of them may.
    ///
    /// # Errors
    /// The rule that denies it.
    pub fn admit(&self, address: IpAddr) -> Result<(), Denied> {
        let address = address.to_canonical();
        if contains(&self.allow, address).is_some() {
            return Ok(());
        }
        for form in forms::of(address) {
            if contains(&self.allow, form).is_some() {
                continue;
            }
            if let Some(rule) = contains(&self.deny, form) {
                let rule = rule.to_string();
                return Err(Denied { address, rule });
            }
        }
        Ok(())
    }

    /// Those of a name's addresses to which a connection may be made.
    ///
    /// # Errors
    /// If there are addresses and none of them may.
    pub fn admitted(
        &self,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Denied> {
        let mut admitted = Vec::new();
        let mut first = None;
        for address in addresses {
            match self.admit(address.ip()) {
                Ok(()) => admitted.push(address),
                Err(denied) => first = first.or(Some(denied)),
            }
        }
        match first {
            Some(denied) if admitted.is_empty() => Err(denied),
            _ => Ok(admitted),
        }
    }
}

fn contains(ranges: &[Range], address: IpAddr) -> Option<&Range> {
    ranges.iter().find(|range| range.contains(address))
}

/// An address to which no connection may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    address: IpAddr,
    rule: String,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, rule } = self;
        write!(f, "network.deny has {rule:?}, which covers {address}")
    }
}

impl std::error::Error for Denied {}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(deny: &[&str], allow: &[&str]) -> Guard {
        let read = |words: &[&str]| words.iter().map(|word| word.parse().unwrap()).collect();
        Guard::new(read(deny), read(allow))
    }

    fn passes(guard: &Guard, address: &str) -> bool {
        guard.admit(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn nothing_is_denied_by_default() {
        for address in ["127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"] {
            assert!(passes(&Guard::default(), address));
        }
    }

    #[test]
    fn one_word_denies_all_that_is_not_public() {
        let guard = guard(&["internal"], &[]);
        for address in [
            "0.0.0.0",
            "10.9.8.7",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "100::1",
            "2001:2::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b:1::1",
        ] {
            assert!(!passes(&guard, address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(passes(&guard, address), "{address}");
        }
    }

    #[test]
    fn an_address_in_disguise_does_not_pass() {
        let private = guard(&["private"], &[]);
        for address in [
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::10.0.0.1",
            "2002:a00:1::1",
            // Teredo: the client's address is inverted, the server's is not.
            "2001:0:101:101:0:0:f5ff:fffe",
            "2001:0:a00:1:0:0:fefe:fefe",
            // ISATAP.
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:10.0.0.1",
        ] {
            assert!(!passes(&private, address), "{address}");
        }
        let loopback = guard(&["loopback"], &[]);
        for address in ["::ffff:127.0.0.1", "0.0.0.0", "::", "::ffff:0.0.0.0"] {
            assert!(!passes(&loopback, address), "{address}");
        }
        assert!(!passes(&loopback, "64:ff9b::7f00:1"));
        assert!(passes(&loopback, "64:ff9b::a00:1"));
    }

    #[test]
    fn ranges_are_denied_and_exceptions_made() {
        let guard = guard(&["10.1.0.0/16", "internal"], &["10.2.3.4", "fd00:1::/32"]);
        assert!(passes(&guard, "10.2.3.4"));
        assert!(passes(&guard, "::ffff:10.2.3.4"));
        assert!(passes(&guard, "fd00:1::9"));
        assert!(!passes(&guard, "10.2.3.5"));
        let denied = guard.admit("10.1.2.3".parse().unwrap()).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "network.deny has \"10.1.0.0/16\", which covers 10.1.2.3"
        );
    }

    #[test]
    fn of_a_name_s_addresses_those_that_may_are_left() {
        let guard = guard(&["loopback"], &[]);
        let both = ["127.0.0.1:1", "1.1.1.1:1"].map(|text| text.parse().unwrap());
        assert_eq!(guard.admitted(both), Ok(vec![both[1]]));
        assert_eq!(guard.admitted([]), Ok(Vec::new()));
        assert!(guard.admitted([both[0]]).is_err());
    }
}
