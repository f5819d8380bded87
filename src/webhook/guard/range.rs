//! What `network.deny` and `network.allow` hold: words for ranges, ranges, addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// The words and what they cover. Source: the IANA registries of special-purpose addresses, IPv4 and
/// IPv6, and of IPv6 multicast.
const NAMED: [(&str, &[&str]); 10] = [
    (
        "private",
        &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
    ),
    ("unique-local", &["fc00::/7"]),
    ("loopback", &["127.0.0.0/8", "::1/128"]),
    ("link-local", &["169.254.0.0/16", "fe80::/10"]),
    ("unspecified", &["0.0.0.0/8", "::/128"]),
    ("multicast", &["224.0.0.0/4", "ff00::/8"]),
    ("cgnat", &["100.64.0.0/10"]),
    (
        "documentation",
        &[
            "192.0.2.0/24",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "2001:db8::/32",
            "3fff::/20",
        ],
    ),
    (
        "reserved",
        &[
            "192.0.0.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "240.0.0.0/4",
            "2001:2::/48",
            "2001:10::/28",
            "2001:20::/28",
            "fec0::/10",
        ],
    ),
    // Of IPv6 all that IANA has not given out as global unicast, 2000::/3, whatever it may become.
    (INTERNAL, &["::/3", "4000::/2", "8000::/1"]),
];

/// The word that covers all others.
const INTERNAL: &str = "internal";

/// What stands outside of 2000::/3 and leads to the public IPv4 addresses in it.
const NAT64: &str = "64:ff9b::/96";

/// Every word, for messages.
pub fn words() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|(word, _)| *word)
}

/// A set of addresses, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    written: String,
    nets: Vec<IpNet>,
    except: Option<IpNet>,
}

impl Range {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let is_in = |net: &IpNet| net.contains(&address);
        self.nets.iter().any(is_in) && !self.except.as_ref().is_some_and(is_in)
    }
}

impl FromStr for Range {
    type Err = String;

    /// # Errors
    /// A sentence that says what is wrong.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((word, _)) = NAMED.iter().find(|(word, _)| *word == text) {
            return Ok(named(word));
        }
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                format!(
                    "{text:?} is no range such as \"10.1.0.0/16\", no address and no word; the \
                     words are {}",
                    words().collect::<Vec<_>>().join(", ")
                )
            })?,
        };
        if net.addr() != net.network() {
            let meant = net.trunc();
            return Err(format!(
                "{text:?} has bits behind its prefix; did you mean \"{meant}\"?"
            ));
        }
        if let Some(meant) = mapped(net) {
            return Err(format!(
                "{text:?} is a range of IPv4 addresses; write it as \"{meant}\""
            ));
        }
        Ok(Self {
            written: text.to_owned(),
            nets: vec![net],
            except: None,
        })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn named(word: &str) -> Range {
    let covers = |(name, _): &&(&str, &[&str])| word == INTERNAL || *name == word;
    let texts = NAMED.iter().filter(covers).flat_map(|(_, nets)| *nets);
    Range {
        written: word.to_owned(),
        nets: texts.filter_map(|text| text.parse().ok()).collect(),
        except: NAT64.parse().ok().filter(|_| word == INTERNAL),
    }
}

/// The range of IPv4 addresses that one of IPv4-mapped addresses is: those are looked at as IPv4.
fn mapped(net: IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(net) = net else { return None };
    let length = net.prefix_len().checked_sub(96)?;
    Ipv4Net::new(net.addr().to_ipv4_mapped()?, length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_means_all_that_it_lists() {
        for (word, nets) in NAMED {
            let range = word.parse::<Range>().unwrap();
            assert!(range.nets.len() >= nets.len(), "{word}");
            assert_eq!(range.to_string(), word);
            for net in nets {
                let net: IpNet = net.parse().unwrap();
                assert_eq!(net, net.trunc(), "{word}");
            }
        }
        assert!("internal".parse::<Range>().unwrap().except.is_some());
    }

    #[test]
    fn what_is_no_range_is_refused_with_what_may_have_been_meant() {
        for wrong in [
            "",
            "public",
            "10.0.0.0/33",
            "10.1",
            "example.com",
            "10.0.0.0/",
        ] {
            let error = wrong.parse::<Range>().unwrap_err();
            assert!(error.contains("the words are private, "), "{error}");
        }
        let error = "10.1.2.3/16".parse::<Range>().unwrap_err();
        assert!(error.contains("did you mean \"10.1.0.0/16\"?"), "{error}");
        for (text, meant) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:a00:1", "10.0.0.1/32"),
        ] {
            let error = text.parse::<Range>().unwrap_err();
            assert!(
                error.contains(&format!("write it as \"{meant}\"")),
                "{error}"
            );
        }
        assert_eq!("::1".parse::<Range>().unwrap().to_string(), "::1");
    }
}
