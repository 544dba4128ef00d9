//! Bag -> where the values of the wanted properties stand, without decoding them.
//! - Source: the grammar of [`millrace_model::bag`]; this is the same walk, over wanted keys only.
//! - Hot path: [`scan`] runs once for each message. A key that stood at the same place of the bag before is recognised by its bytes;
//!   only a new one is decoded and looked up. A value is never decoded here.

use std::borrow::Cow;

use millrace_model::limits::PROPERTIES_MAX;
use percent_encoding::percent_decode;

use super::fields::Fields;
use super::value::Value;

/// Where a raw value stands in its bag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) const ABSENT: Self = Self { start: u32::MAX, end: 0 };
    /// A key without `=`.
    const NULL: Self = Self { start: u32::MAX, end: 1 };

    fn new(start: usize, end: usize) -> Self {
        match (u32::try_from(start), u32::try_from(end)) {
            (Ok(start), Ok(end)) => Self { start, end },
            _ => Self::ABSENT,
        }
    }

    /// The encoded value; `None` when absent or null.
    #[inline]
    pub(super) fn raw(self, bag: &[u8]) -> Option<&[u8]> {
        if self.start == u32::MAX {
            return None;
        }
        bag.get(usize::try_from(self.start).ok()?..usize::try_from(self.end).ok()?)
    }

    pub(super) fn value(self, bag: &[u8]) -> Value<'_> {
        match self.raw(bag) {
            Some(raw) => Value::Word(decode(raw)),
            None if self == Self::NULL => Value::Null,
            None => Value::Undefined,
        }
    }
}

pub(super) fn decode(raw: &[u8]) -> Cow<'_, str> {
    if raw.contains(&b'%') { percent_decode(raw).decode_utf8_lossy() } else { String::from_utf8_lossy(raw) }
}

/// What the pairs of the last bag turned out to be, by position: a fleet sends the same keys in the same order, and to compare a
/// key is cheaper than to find its end, decode it and look it up.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pairs: [Known; MEMORY_PAIRS],
}

const MEMORY_PAIRS: usize = 8;
const MEMORY_KEY_BYTES: usize = 32;

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The raw key and its `=`.
    key: [u8; MEMORY_KEY_BYTES],
    len: usize,
    field: Option<u16>,
}

impl Memory {
    /// For another set of fields.
    pub(super) fn clear(&mut self) {
        self.pairs = Default::default();
    }
}

/// Fills `spans` (one for each property field) from a bag.
#[inline]
pub(super) fn scan(fields: &Fields, bag: &[u8], spans: &mut [Span], memory: &mut Memory) {
    spans.fill(Span::ABSENT);
    let mut start = usize::from(bag.first() == Some(&b'?'));
    let end = bag.len() - usize::from(bag.len() > start && bag.last() == Some(&b'/'));
    let mut counted = 0;
    while start < end && counted < PROPERTIES_MAX {
        if let Some(known) = memory.pairs.get(counted)
            && known.len > 0
            && let Some(key) = bag.get(start..end).and_then(|pair| pair.get(..known.len))
            && equal(key, known.key.get(..known.len).unwrap_or_default())
        {
            let value = start + known.len;
            let pair_end = find(bag, value, end, b'&');
            if let Some(span) = known.field.and_then(|field| spans.get_mut(usize::from(field))) {
                *span = Span::new(value, pair_end);
            }
            counted += 1;
            start = pair_end + 1;
            continue;
        }
        let pair_end = find(bag, start, end, b'&');
        let first = bag.get(start).copied().unwrap_or_default();
        // An empty key is no property and does not count.
        if pair_end > start && first != b'=' {
            look(fields, bag, start, pair_end, spans, memory.pairs.get_mut(counted));
            counted += 1;
        }
        start = pair_end + 1;
    }
}

fn look(fields: &Fields, bag: &[u8], start: usize, end: usize, spans: &mut [Span], known: Option<&mut Known>) {
    let key_end = find(bag, start, end, b'=');
    let key = bag.get(start..key_end).unwrap_or_default();
    let field = if key.contains(&b'%') { find_encoded(fields, key) } else { fields.find(key) };
    if let Some(span) = field.and_then(|field| spans.get_mut(usize::from(field))) {
        *span = if key_end < end { Span::new(key_end + 1, end) } else { Span::NULL };
    }
    if let (Some(known), Some(raw)) = (known, bag.get(start..key_end + 1).filter(|_| key_end < end))
        && let Some(place) = known.key.get_mut(..raw.len())
    {
        place.copy_from_slice(raw);
        (known.len, known.field) = (raw.len(), field);
    }
}

/// SDKs encode the dollar sign of system keys and nothing else of them.
fn find_encoded(fields: &Fields, key: &[u8]) -> Option<u16> {
    if let [b'%', b'2', b'4', rest @ ..] = key
        && rest.len() < 15
        && !rest.contains(&b'%')
    {
        let mut decoded = [b'$'; 16];
        decoded.get_mut(1..=rest.len())?.copy_from_slice(rest);
        return fields.find(decoded.get(..=rest.len())?);
    }
    fields.find(percent_decode(key).decode_utf8_lossy().as_bytes())
}

/// Whether two texts are the same. Most are short: their first and last bytes, in two loads each, beat a call.
#[inline]
pub(super) fn equal(left: &[u8], right: &[u8]) -> bool {
    fn ends<const N: usize>(left: &[u8], right: &[u8]) -> bool {
        left.first_chunk::<N>() == right.first_chunk::<N>() && left.last_chunk::<N>() == right.last_chunk::<N>()
    }
    left.len() == right.len()
        && match left.len() {
            0 => true,
            1 => left == right,
            2..=4 => ends::<2>(left, right),
            5..=8 => ends::<4>(left, right),
            9..=16 => ends::<8>(left, right),
            _ => left == right,
        }
}

/// The position of `byte` in `start..end`, or `end`. Bags are short: eight bytes at a time beat a call.
#[inline]
fn find(bytes: &[u8], start: usize, end: usize, byte: u8) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let Some(within) = bytes.get(start..end) else {
        return end;
    };
    let pattern = LOW.wrapping_mul(u64::from(byte));
    // Exact up to and including the first hit, which is all that is asked.
    let first_in = |word: [u8; 8]| {
        let differing = u64::from_le_bytes(word) ^ pattern;
        let zeros = differing.wrapping_sub(LOW) & !differing & HIGH;
        (zeros != 0).then(|| usize::try_from(zeros.trailing_zeros() / 8).unwrap_or_default())
    };
    let (words, rest) = within.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        if let Some(hit) = first_in(*word) {
            return start + number * 8 + hit;
        }
    }
    let behind = end - rest.len();
    match bytes.get(..end).and_then(|bytes| bytes.last_chunk::<8>()) {
        _ if rest.is_empty() => end,
        // One more load, its bytes before the rest shifted out; the zeros shifted in are no hit, for no caller seeks a zero.
        Some(word) => {
            let shifted = u64::from_le_bytes(*word) >> (8 * (8 - rest.len()));
            first_in(shifted.to_le_bytes()).map_or(end, |hit| behind + hit)
        }
        None => rest.iter().position(|&found| found == byte).map_or(end, |found| behind + found),
    }
}

#[cfg(test)]
mod tests {
    use millrace_model::{PropertyName, SystemProperty, bag};
    use proptest::prelude::*;

    use super::super::fields::PropertyKey;
    use super::*;

    /// What the model's own reading of the bag gives.
    fn expected(bag: &[u8], key: &PropertyKey) -> Value<'static> {
        let found = bag::pairs(bag).filter(|property| match (&property.name, key) {
            (PropertyName::System(found), PropertyKey::System(wanted)) => found == wanted,
            (PropertyName::Application(found), PropertyKey::Application(wanted)) => found.eq_ignore_ascii_case(wanted),
            _ => false,
        });
        found.last().map_or(Value::Undefined, |property| {
            property.value.map_or(Value::Null, |value| Value::Word(value.into_owned().into()))
        })
    }

    proptest! {
        #[test]
        fn a_scan_agrees_with_the_model(bags in prop::collection::vec("[?]?([aA$]|%24|%61)?[.cteé&=%/ab]{0,40}", 1..4)) {
            let keys = [
                PropertyKey::Application("a".to_owned()),
                PropertyKey::Application("ab".to_owned()),
                PropertyKey::Application("é".to_owned()),
                PropertyKey::System(SystemProperty::ContentType),
                PropertyKey::System(SystemProperty::ContentEncoding),
            ];
            let mut fields = Fields::default();
            for key in &keys {
                fields.property(key.clone()).unwrap();
            }
            let mut memory = Memory::default();
            // The later bags meet what is remembered of the earlier ones.
            for bag in bags.iter().chain(&bags) {
                let mut spans = [Span::ABSENT; 5];
                scan(&fields, bag.as_bytes(), &mut spans, &mut memory);
                for (span, key) in spans.iter().zip(&keys) {
                    prop_assert_eq!(span.value(bag.as_bytes()), expected(bag.as_bytes(), key), "{:?} in {}", key, &bag);
                }
            }
        }
    }
}
