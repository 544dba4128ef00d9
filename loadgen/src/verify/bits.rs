//! A set of numbers that lie close together, such as offsets: memory follows what is in it, not how large the numbers are.
//! - Shape: blocks of 4,096 bits, found by number of the block.

use std::collections::HashMap;

const WORDS: usize = 64;

/// A set of (group, number).
#[derive(Debug, Default)]
pub(super) struct Bits {
    blocks: HashMap<(u32, u64), Box<[u64; WORDS]>>,
    len: u64,
}

impl Bits {
    /// Adds one; false when it was there.
    pub(super) fn insert(&mut self, group: u32, number: u64) -> bool {
        let (block, word, mask) = place(number);
        let words = self.blocks.entry((group, block)).or_insert_with(|| Box::new([0; WORDS]));
        let is_new = words[word] & mask == 0;
        words[word] |= mask;
        self.len += u64::from(is_new);
        is_new
    }

    /// Whether it is there.
    pub(super) fn contains(&self, group: u32, number: u64) -> bool {
        let (block, word, mask) = place(number);
        self.blocks.get(&(group, block)).is_some_and(|words| words[word] & mask != 0)
    }

    /// How many there are.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }
}

fn place(number: u64) -> (u64, usize, u64) {
    let word = usize::try_from(number / 64 % 64).unwrap_or(0);
    (number / 4_096, word, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_far_apart_are_kept_apart() {
        let mut bits = Bits::default();
        for number in [0, 63, 64, 4_095, 4_096, u64::MAX] {
            assert!(!bits.contains(1, number));
            assert!(bits.insert(1, number));
            assert!(!bits.insert(1, number));
            assert!(!bits.contains(2, number));
        }
        assert_eq!(bits.len(), 6);
    }
}
