//! What is sent to a webhook, and where it may be sent: decides, never connects.
//! - Shape: header `X-Millrace-Signature: t=SECONDS,v1=HEX`, HEX = HMAC-SHA-256(secret, SECONDS "." body).
//! - Invariants: link-local, multicast, unspecified and documentation addresses are never called; loopback and private ones
//!   only with `allow_private`. IPv4 inside IPv6 (mapped, NAT64, 6to4) is judged as IPv4.
//! - Not here: name resolution and connections (`client.rs`), which ask [`is_allowed`] about each address they are to use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::hmac;
use reqwest::Url;

/// Header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-millrace-signature";

/// Signs a body as sent at `unix_seconds`.
#[must_use]
pub fn signature(secret: &[u8], unix_seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(unix_seconds.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    format!("t={unix_seconds},v1={}", hexadecimal(context.sign().as_ref()))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
        text
    })
}

/// Parses the address of a webhook and refuses what can be refused without resolving names.
///
/// # Errors
/// The reason in words.
pub(crate) fn check_url(text: &str, allow_private: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http and https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("no user or password in the address".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if let Ok(address) = literal
        && !is_allowed(address, allow_private)
    {
        return Err(format!("{address} may not be called"));
    }
    if host.is_empty() {
        return Err("needs a host".to_owned());
    }
    Ok(url)
}

/// Whether a webhook may connect to an address.
pub(crate) fn is_allowed(address: IpAddr, allow_private: bool) -> bool {
    match address {
        IpAddr::V4(address) => match scope_v4(address) {
            Scope::Forbidden => false,
            Scope::Private => allow_private,
            Scope::Public => true,
        },
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(inner) => is_allowed(IpAddr::V4(inner), allow_private),
            None => match scope_v6(address) {
                Scope::Forbidden => false,
                Scope::Private => allow_private,
                Scope::Public => true,
            },
        },
    }
}

enum Scope {
    Forbidden,
    Private,
    Public,
}

fn scope_v4(address: Ipv4Addr) -> Scope {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0 | 224..=255, ..) | (169, 254, _) | (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113) => Scope::Forbidden,
        (10 | 127, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) | (198, 18 | 19, _) => Scope::Private,
        // The name server and metadata address of Azure's hosts.
        (168, 63, 129) => Scope::Forbidden,
        _ => Scope::Public,
    }
}

fn scope_v6(address: Ipv6Addr) -> Scope {
    let [first, second, ..] = address.segments();
    if address.is_loopback() {
        return Scope::Private;
    }
    match (first, second) {
        // AWS's metadata service lives in the private range; no webhook does.
        (0xfd00, 0x0ec2) => Scope::Forbidden,
        (0xfc00..=0xfdff, _) => Scope::Private,
        (0x2001, 0x0db8) => Scope::Forbidden,
        (0x2000..=0x3fff, _) => Scope::Public,
        _ => Scope::Forbidden,
    }
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_what_anyone_can_check() {
        // Computed with: printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature(b"secret", 1_700_000_000, b"{\"a\":1}"),
            "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }

    #[test]
    fn addresses_are_sorted_into_three_kinds() {
        let check = |text: &str, expected: [bool; 2]| {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!([is_allowed(address, false), is_allowed(address, true)], expected, "{text}");
        };
        for public in ["8.8.8.8", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            check(public, [true, true]);
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "::1",
            "fd12::1",
            "::ffff:127.0.0.1",
            "2002:a00:1::",
        ] {
            check(private, [false, true]);
        }
        for forbidden in [
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "fe80::1",
            "ff02::1",
            "::",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::7f00:1",
        ] {
            check(forbidden, [false, false]);
        }
    }

    #[test]
    fn urls_that_hide_an_address_are_seen_through() {
        for bad in [
            "",
            "x",
            "file:///etc/passwd",
            "gopher://x/",
            "http://",
            "http://u:p@example.com/",
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://017700000001/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/latest",
            "http://\u{ff11}27.0.0.1/",
        ] {
            assert!(check_url(bad, false).is_err(), "{bad}");
        }
        assert!(check_url("http://127.0.0.1:8080/x", true).is_ok());
        assert!(check_url("http://169.254.169.254/", true).is_err());
        assert!(check_url("https://example.com/in?x=1", false).is_ok());
    }
}
