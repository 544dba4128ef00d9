//! Source addresses of connections: one address has some 28,000 ports towards one server, more connections need more addresses.
//! - Limits: at most [`ADDRESSES_MAX`] addresses.

use std::net::{IpAddr, Ipv4Addr};

/// More would be a typing error.
const ADDRESSES_MAX: u32 = 65_536;

/// Reads `ADDRESS`, `FIRST-LAST` (IPv4) or a list of those with commas.
///
/// # Errors
/// The part that can't be read, or that there are too many.
pub(crate) fn parse(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut addresses = Vec::new();
    for part in text.split(',').map(str::trim) {
        if let Some((first, last)) = part.split_once('-') {
            let bounds = (first.trim().parse::<Ipv4Addr>(), last.trim().parse::<Ipv4Addr>());
            let (Ok(first), Ok(last)) = bounds else {
                return Err(format!("{part:?} is no range of IPv4 addresses"));
            };
            let (first, last) = (first.to_bits(), last.to_bits());
            if first > last {
                return Err(format!("{part:?} ends before it begins"));
            }
            if last - first >= ADDRESSES_MAX {
                return Err(format!("{part:?} has more than {ADDRESSES_MAX} addresses"));
            }
            addresses.extend((first..=last).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))));
        } else {
            addresses.push(part.parse::<IpAddr>().map_err(|_| format!("{part:?} is no address"))?);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_lists_are_read() {
        assert_eq!(parse("127.0.0.1-127.0.0.50").unwrap().len(), 50);
        assert_eq!(parse("127.0.0.255-127.0.1.0, ::1").unwrap().len(), 3);
        for wrong in ["", "127.0.0.2-127.0.0.1", "0.0.0.0-255.255.255.255", "a", "::1-::2"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
