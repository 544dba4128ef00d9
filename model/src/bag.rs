//! The property bag: `key=value` pairs joined by `&`, percent-encoded. It is the one form in which properties travel
//! through batches and journal, whatever protocol they came by; nothing is decoded until somebody asks.
//! - Source: Azure IoT Hub MQTT topic `devices/{id}/messages/events/{bag}`. A `+` is literal; a pair without `=` is null;
//!   `k=` is the empty string; an empty key is dropped; of equal keys the last one counts; a leading `?` and one final `/`
//!   are not part of it; keys that start with `$.` and that the hub knows are system properties.
//! - Limits: at most [`crate::limits::PROPERTIES_MAX`] pairs are read, in time linear in the bag.
//! - Errors: none. Bytes that are not UTF-8 once decoded become U+FFFD.

use std::borrow::Cow;
use std::collections::HashMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::limits::PROPERTIES_MAX;
use crate::property::{Property, PropertyName, SystemProperty};

/// What stays as it is in an encoded key or value.
const BAG: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// So many names are compared one by one, which is quicker than hashing them; where more are known, they are looked up.
const COMPARED_MAX: usize = 32;

/// The pairs of a bag in the order of sending, repeated keys included.
pub fn pairs(bag: &[u8]) -> impl Iterator<Item = Property<'_>> {
    let bag = bag.strip_prefix(b"?").unwrap_or(bag);
    let bag = bag.strip_suffix(b"/").unwrap_or(bag);
    bag.split(|&byte| byte == b'&').filter_map(pair).take(PROPERTIES_MAX)
}

/// All properties, each name once (the last one sent), in the order of first appearance.
#[must_use]
pub fn properties(bag: &[u8]) -> Vec<Property<'_>> {
    let mut found: Vec<Property<'_>> = Vec::new();
    let mut later = HashMap::new();
    for property in pairs(bag) {
        let compared = found.iter().take(COMPARED_MAX).position(|known| known.name == property.name);
        let place = compared.or_else(|| later.get(&property.name).copied());
        match place.and_then(|place| found.get_mut(place)) {
            Some(known) => known.value = property.value,
            None => {
                if found.len() >= COMPARED_MAX {
                    later.insert(property.name.clone(), found.len());
                }
                found.push(property);
            }
        }
    }
    found
}

/// The value of a system property; `None` when it is absent or null.
#[must_use]
pub fn system(bag: &[u8], wanted: SystemProperty) -> Option<Cow<'_, str>> {
    pairs(bag).filter(|property| property.name == PropertyName::System(wanted)).last()?.value
}

/// Appends `key=value` to an encoded bag, joined by `&` where it is not the first.
pub fn push(bag: &mut Vec<u8>, key: &str, value: &str) {
    if !bag.is_empty() {
        bag.push(b'&');
    }
    for part in utf8_percent_encode(key, BAG) {
        bag.extend_from_slice(part.as_bytes());
    }
    bag.push(b'=');
    for part in utf8_percent_encode(value, BAG) {
        bag.extend_from_slice(part.as_bytes());
    }
}

fn pair(text: &[u8]) -> Option<Property<'_>> {
    let (key, value) = match memchr(text) {
        Some(at) => (text.get(..at)?, text.get(at.saturating_add(1)..)),
        None => (text, None),
    };
    if key.is_empty() {
        return None;
    }
    let key = percent_decode(key).decode_utf8_lossy();
    let name = match SystemProperty::from_bag_key(&key) {
        Some(system) => PropertyName::System(system),
        None => PropertyName::Application(key),
    };
    Some(Property { name, value: value.map(|value| percent_decode(value).decode_utf8_lossy()) })
}

fn memchr(text: &[u8]) -> Option<usize> {
    text.iter().position(|&byte| byte == b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bag: &str, expected: &[(&str, Option<&str>)]) {
        let found: Vec<(String, Option<String>)> = properties(bag.as_bytes())
            .into_iter()
            .map(|property| {
                let name = match property.name {
                    PropertyName::System(system) => system.bag_key().to_owned(),
                    PropertyName::Application(name) => name.into_owned(),
                };
                (name, property.value.map(Cow::into_owned))
            })
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|&(name, value)| (name.to_owned(), value.map(str::to_owned))).collect();
        assert_eq!(found, expected, "{bag}");
    }

    #[test]
    fn follows_what_the_sdks_send() {
        check("", &[]);
        check("?", &[]);
        check(
            "%24.mid=m%201&%24.ct=application%2Fjson&a%20b=c%2Fd%3D%C3%A9",
            &[("$.mid", Some("m 1")), ("$.ct", Some("application/json")), ("a b", Some("c/d=é"))],
        );
        check("?a=b", &[("a", Some("b"))]);
        check("%24.on=out1&k=v/", &[("$.on", Some("out1")), ("k", Some("v"))]);
        check("k1=&k2", &[("k1", Some("")), ("k2", None)]);
        check("&=", &[]);
        check("x=1+1", &[("x", Some("1+1"))]);
        check("a=1&b=2&a=3", &[("a", Some("3")), ("b", Some("2"))]);
    }

    #[test]
    fn many_names_are_told_apart_like_few() {
        let name = |number: usize| if number == 40 { "$.ct".to_owned() } else { format!("k{number}") };
        for names in [COMPARED_MAX - 1, COMPARED_MAX, COMPARED_MAX + 1, PROPERTIES_MAX / 2] {
            let mut bag = Vec::new();
            for round in ["first", "last"] {
                (0..names).for_each(|number| push(&mut bag, &name(number), round));
            }
            let expected: Vec<String> = (0..names).map(name).collect();
            let expected: Vec<_> = expected.iter().map(|name| (name.as_str(), Some("last"))).collect();
            check(std::str::from_utf8(&bag).unwrap(), &expected);
        }
    }

    #[test]
    fn pushed_pairs_read_back() {
        let mut bag = Vec::new();
        push(&mut bag, "k &=/", "v é=&");
        push(&mut bag, "$.ct", "text/plain");
        check(std::str::from_utf8(&bag).unwrap(), &[("k &=/", Some("v é=&")), ("$.ct", Some("text/plain"))]);
    }
}
