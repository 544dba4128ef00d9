//! What the simple tests of one property ask (`=`, `!=` and `IN` of texts, `IS_DEFINED`), answered together: one look at a message's
//! value serves every such test of the table, so that a hundred routes on one key cost little more than one.
//! - Shape: a [`Column`] (compiled) leads from a text to the sets of texts that hold it, a set for each test; [`ColumnRows`] (memory)
//!   has for each set the rows of the chunk whose value is in it.
//! - Invariants: texts are compared with the raw value where it cannot be percent-encoded, else with the decoded one.
//! - Hot path: [`Column::has_only`] and [`Column::sets_of`] run once for each message. Nothing is decoded but what holds a percent sign.

use hashbrown::HashMap;

use super::evaluate::{Mask, NO_ROWS};
use super::properties::{decode, equal};

/// Texts in the bytes that they have when nothing is encoded.
pub(super) type Texts = Vec<Box<[u8]>>;

/// The simple tests of one property.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) field: u16,
    /// Each set once, with its number.
    sets: HashMap<Texts, usize>,
    /// The numbers of the sets that hold a text.
    by_text: HashMap<Box<[u8]>, Vec<usize>>,
    /// The text, where all sets together hold one.
    only: Option<Box<[u8]>>,
    longest: usize,
    /// A value that has at least so many bytes may be one of the texts in percent-encoding; a shorter one cannot.
    encoded_len: usize,
}

/// The rows of a chunk, by their value in one column.
#[derive(Debug, Default)]
pub(super) struct ColumnRows {
    /// Looked at.
    pub(super) known: Mask,
    /// Of these, those that have the property, be it null.
    pub(super) defined: Mask,
    /// Those that have a value.
    pub(super) valued: Mask,
    /// By set, those whose value is in it.
    pub(super) sets: Vec<Mask>,
}

impl Column {
    pub(super) fn new(field: u16) -> Self {
        Self { field, sets: HashMap::new(), by_text: HashMap::new(), only: None, longest: 0, encoded_len: usize::MAX }
    }

    /// The number of a set, new or known.
    pub(super) fn set(&mut self, mut texts: Texts) -> usize {
        texts.sort_unstable();
        texts.dedup();
        let next = self.sets.len();
        if let Some(&known) = self.sets.get(&texts) {
            return known;
        }
        for text in &texts {
            self.longest = self.longest.max(text.len());
            // Encoded, a text is longer by two bytes at least. One with a percent sign of its own must never meet an encoded form.
            let encoded_len = if text.contains(&b'%') { 0 } else { text.len() + 2 };
            self.encoded_len = self.encoded_len.min(encoded_len);
            self.by_text.entry(text.clone()).or_default().push(next);
        }
        let mut all = self.by_text.keys();
        self.only = all.next().filter(|_| all.next().is_none()).cloned();
        self.sets.insert(texts, next);
        next
    }

    pub(super) fn set_count(&self) -> usize {
        self.sets.len()
    }

    /// The text, where the tests ask for no other.
    pub(super) fn only(&self) -> Option<&[u8]> {
        self.only.as_deref()
    }

    /// Whether the value is `only`.
    #[inline]
    pub(super) fn has_only(&self, only: &[u8], raw: &[u8]) -> bool {
        if self.may_be_encoded(raw) { decode(raw).as_bytes() == only } else { equal(raw, only) }
    }

    /// The numbers of the sets that hold the value.
    #[inline]
    pub(super) fn sets_of(&self, raw: &[u8]) -> &[usize] {
        let found = if self.may_be_encoded(raw) {
            self.by_text.get(decode(raw).as_bytes())
        } else if raw.len() <= self.longest {
            self.by_text.get(raw)
        } else {
            None
        };
        found.map_or(&[], Vec::as_slice)
    }

    #[inline]
    fn may_be_encoded(&self, raw: &[u8]) -> bool {
        raw.len() >= self.encoded_len && raw.contains(&b'%')
    }
}

impl ColumnRows {
    /// For another chunk.
    pub(super) fn clear(&mut self, set_count: usize) {
        (self.known, self.defined, self.valued) = (NO_ROWS, NO_ROWS, NO_ROWS);
        self.sets.clear();
        self.sets.resize(set_count, NO_ROWS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Texts {
        texts.iter().map(|text| text.as_bytes().into()).collect()
    }

    #[test]
    fn a_value_leads_to_every_set_that_holds_it() {
        let mut column = Column::new(0);
        assert_eq!(column.set(texts(&["b"])), 0);
        assert_eq!(column.only(), Some(&b"b"[..]));
        assert_eq!(
            (column.set(texts(&["a", "b", "a"])), column.set(texts(&["b", "a"])), column.set(texts(&[]))),
            (1, 1, 2)
        );
        assert_eq!((column.only(), column.set_count()), (None, 3));
        for (raw, expected) in [("a", &[1][..]), ("b", &[0, 1]), ("%62", &[0, 1]), ("", &[]), ("ab", &[]), ("%6", &[])]
        {
            assert_eq!(column.sets_of(raw.as_bytes()), expected, "{raw}");
        }
    }

    #[test]
    fn a_text_with_a_percent_sign_never_meets_an_encoded_form() {
        let mut column = Column::new(0);
        column.set(texts(&["%61"]));
        assert!(!column.has_only(b"%61", b"%61"));
        assert!(column.has_only(b"%61", b"%2561"));
    }
}
