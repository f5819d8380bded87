//! The addresses that one address stands for: a packet to a translated or tunnelled IPv6 address
//! ends at the IPv4 address in it, and one to no address at all ends at this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address itself, and every address that it may be turned into on its way:
///
/// * `0.0.0.0` and `::` are loopback to a client, as Linux connects.
/// * IPv4-mapped is IPv4 already: the caller makes addresses canonical.
/// * `::a.b.c.d`, IPv4-compatible (RFC 4291, section 2.5.5.1) and `::ffff:0:a.b.c.d` (RFC 2765).
/// * `64:ff9b::/96`, NAT64 (RFC 6052), and `64:ff9b:1::/48`, its local kin (RFC 8215), whose prefixes
///   of 96 bits are the ones in use. A translator with a prefix of the network's own cannot be known.
/// * `2002::/16`, 6to4 (RFC 3056); `2001::/32`, Teredo (RFC 4380), with its server and its client,
///   whose bits are inverted; ISATAP (RFC 5214) under any prefix.
pub(super) fn of(address: IpAddr) -> Vec<IpAddr> {
    let mut forms = vec![address];
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => forms.push(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => forms.push(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) => {}
        IpAddr::V6(address) => forms.extend(embedded(address).into_iter().map(IpAddr::V4)),
    }
    forms
}

fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    match address.segments() {
        // Unspecified and loopback are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Vec::new(),
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, _, _, _, _, _] => vec![joined(high, low)],
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            vec![joined(high, low), joined(!client_high, !client_low)]
        }
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => vec![joined(high, low)],
        _ => Vec::new(),
    }
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))
}
