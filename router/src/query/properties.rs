//! Bag -> where the values of the wanted properties stand, without decoding them.
//! - Source: the grammar of [`millrace_model::bag`]; this is the same walk, over wanted keys only.
//! - Units: positions are bytes in the batch's buffer, so that a load of eight bytes may reach beyond the bag, where other bytes of
//!   the batch stand; what is found there is cut off at the bag's end.
//! - Hot path: [`scan`] runs once for each message. A key that stood at the same place of the bag before is recognised by its bytes;
//!   only a new one is decoded and looked up. A value is never decoded here.

use std::borrow::Cow;
use std::ops::Range;

use millrace_model::limits::PROPERTIES_MAX;
use percent_encoding::percent_decode;

use super::fields::Fields;
use super::value::Value;

/// Where a raw value stands in its batch.
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
    pub(super) fn raw(self, bytes: &[u8]) -> Option<&[u8]> {
        if self.start == u32::MAX {
            return None;
        }
        bytes.get(usize::try_from(self.start).ok()?..usize::try_from(self.end).ok()?)
    }

    pub(super) fn value(self, bytes: &[u8]) -> Value<'_> {
        match self.raw(bytes) {
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
const KEY_WORDS: usize = 4;

/// A raw key with its `=`.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    words: [u64; KEY_WORDS],
    /// Which bits of each word belong to the key.
    masks: [u64; KEY_WORDS],
    /// 0 for none.
    len: usize,
    field: Option<u16>,
}

impl Memory {
    /// For another set of fields.
    pub(super) fn clear(&mut self) {
        self.pairs = Default::default();
    }
}

impl Known {
    /// `None` for a key that is too long to be remembered.
    fn new(key: &[u8], field: Option<u16>) -> Option<Self> {
        let mut known = Self { len: key.len(), field, ..Self::default() };
        let (mut bytes, mut masks) = ([0; KEY_WORDS * 8], [0; KEY_WORDS * 8]);
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        masks.get_mut(..key.len())?.fill(0xff);
        for (word, chunk) in known.words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        for (mask, chunk) in known.masks.iter_mut().zip(masks.as_chunks::<8>().0) {
            *mask = u64::from_le_bytes(*chunk);
        }
        Some(known)
    }

    /// Whether `bytes` goes on with this key at `start`. At the very end of the batch it does not say so.
    #[inline]
    fn stands_at(&self, bytes: &[u8], start: usize, end: usize) -> bool {
        if self.len == 0 || start + self.len > end {
            return false;
        }
        for (number, (word, mask)) in self.words.iter().zip(&self.masks).enumerate() {
            if number * 8 >= self.len {
                break;
            }
            if load(bytes, start + number * 8).is_none_or(|found| (found ^ word) & mask != 0) {
                return false;
            }
        }
        true
    }
}

/// Fills `spans` (one for each property field) from the bag that stands there in `bytes`.
#[inline]
pub(super) fn scan(fields: &Fields, bytes: &[u8], bag: Range<usize>, spans: &mut [Span], memory: &mut Memory) {
    match &mut *spans {
        // Not worth a loop.
        [span] => *span = Span::ABSENT,
        spans => spans.fill(Span::ABSENT),
    }
    let (mut start, mut end) = (bag.start, bag.end);
    if start < end && bytes.get(start) == Some(&b'?') {
        start += 1;
    }
    if start < end && bytes.get(end - 1) == Some(&b'/') {
        end -= 1;
    }
    let mut counted = 0;
    while start < end && counted < PROPERTIES_MAX {
        if let Some(known) = memory.pairs.get(counted)
            && known.stands_at(bytes, start, end)
        {
            let value = start + known.len;
            start = find(bytes, value, end, b'&');
            if let Some(span) = known.field.and_then(|field| spans.get_mut(usize::from(field))) {
                *span = Span::new(value, start);
            }
            counted += 1;
        } else {
            let pair_end = find(bytes, start, end, b'&');
            // An empty key is no property and does not count.
            if pair_end > start && bytes.get(start) != Some(&b'=') {
                look(fields, bytes, start..pair_end, spans, memory.pairs.get_mut(counted));
                counted += 1;
            }
            start = pair_end;
        }
        start += 1;
    }
}

#[inline(never)]
fn look(fields: &Fields, bytes: &[u8], pair: Range<usize>, spans: &mut [Span], known: Option<&mut Known>) {
    let key_end = find(bytes, pair.start, pair.end, b'=');
    let key = bytes.get(pair.start..key_end).unwrap_or_default();
    let field = if key.contains(&b'%') { find_encoded(fields, key) } else { fields.find(key) };
    let has_value = key_end < pair.end;
    if let Some(span) = field.and_then(|field| spans.get_mut(usize::from(field))) {
        *span = if has_value { Span::new(key_end + 1, pair.end) } else { Span::NULL };
    }
    if has_value
        && let (Some(known), Some(raw)) = (known, bytes.get(pair.start..=key_end))
        && let Some(new) = Known::new(raw, field)
    {
        *known = new;
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

/// The eight bytes at a position; `None` where the batch ends before.
#[inline]
fn load(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

/// The position of `byte` in `start..end`, or `end`. Bags are short: eight bytes at a time beat a call.
#[inline]
fn find(bytes: &[u8], start: usize, end: usize, byte: u8) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let pattern = LOW.wrapping_mul(u64::from(byte));
    let mut at = start;
    while at < end {
        let Some(word) = load(bytes, at) else {
            let rest = bytes.get(at..end).unwrap_or_default();
            return rest.iter().position(|&found| found == byte).map_or(end, |hit| at + hit);
        };
        let differing = word ^ pattern;
        // Exact up to and including the first hit, which is all that is asked.
        let zeros = differing.wrapping_sub(LOW) & !differing & HIGH;
        if zeros != 0 {
            return end.min(at + usize::try_from(zeros.trailing_zeros() / 8).unwrap_or_default());
        }
        at += 8;
    }
    end
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
        fn a_scan_agrees_with_the_model_whatever_stands_around_the_bag(
            bags in prop::collection::vec("[?]?([aA$]|%24|%61)?[.cteé&=%/ab]{0,40}", 1..4),
            around in prop::collection::vec(("[a=&%]{0,3}", "[a=&%]{0,12}"), 1..4),
        ) {
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
            for (bag, (before, behind)) in bags.iter().chain(&bags).zip(around.iter().cycle()) {
                let bytes = [before, bag, behind].map(String::as_bytes).concat();
                let mut spans = [Span::ABSENT; 5];
                scan(&fields, &bytes, before.len()..before.len() + bag.len(), &mut spans, &mut memory);
                for (span, key) in spans.iter().zip(&keys) {
                    prop_assert_eq!(span.value(&bytes), expected(bag.as_bytes(), key), "{:?} in {}", key, &bag);
                }
            }
        }
    }
}
