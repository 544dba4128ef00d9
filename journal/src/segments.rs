//! The segments that exist, in order; shared by the writer, which adds and removes them, and the readers.
//! - Invariants: bases ascend. An id is never used twice, so a reader notices when the file it has open was replaced.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use millrace_model::Offset;

/// One segment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) base: Offset,
    pub(crate) path: PathBuf,
    /// Disk space it takes.
    pub(crate) bytes: u64,
}

/// Where to look for an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: Segment,
    /// Base of the next segment, from which on this one does not count.
    pub(crate) until: Option<Offset>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    segments: VecDeque<Segment>,
    next_id: u64,
}

impl Segments {
    /// Adds the newest segment; one with the same base is replaced.
    pub(crate) fn push(&self, base: Offset, path: PathBuf, bytes: u64) {
        let mut list = self.lock();
        while list.segments.back().is_some_and(|last| last.base >= base) {
            list.segments.pop_back();
        }
        let id = list.next_id;
        list.next_id = id.wrapping_add(1);
        list.segments.push_back(Segment { id, base, path, bytes });
    }

    /// The segment in which `offset` must be; `None` when it is older than all.
    pub(crate) fn find(&self, offset: Offset) -> Option<Place> {
        let list = self.lock();
        let after = list.segments.partition_point(|segment| segment.base <= offset);
        let segment = list.segments.get(after.checked_sub(1)?)?.clone();
        Some(Place { segment, until: list.segments.get(after).map(|next| next.base) })
    }

    /// Base of the oldest segment.
    pub(crate) fn oldest(&self) -> Option<Offset> {
        self.lock().segments.front().map(|segment| segment.base)
    }

    /// The oldest segment, if all of it lies below `below` and another one follows.
    pub(crate) fn oldest_below(&self, below: Offset) -> Option<Segment> {
        let list = self.lock();
        list.segments.get(1).filter(|next| next.base <= below).and_then(|_| list.segments.front().cloned())
    }

    /// Forgets the oldest segment, if it is the one with this id.
    pub(crate) fn remove_oldest(&self, id: u64) {
        let mut list = self.lock();
        if list.segments.front().is_some_and(|segment| segment.id == id) {
            list.segments.pop_front();
        }
    }

    /// Disk space of those that begin before `base`.
    pub(crate) fn bytes_before(&self, base: Offset) -> u64 {
        let list = self.lock();
        let before = list.segments.iter().take_while(|segment| segment.base < base);
        before.fold(0, |sum, segment| sum.saturating_add(segment.bytes))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_offset_and_replaces_equal_bases() {
        let segments = Segments::default();
        assert_eq!(segments.find(Offset(0)), None);
        for base in [10, 20, 20, 30] {
            segments.push(Offset(base), PathBuf::new(), 5);
        }
        let check = |offset, expected: Option<(u64, Option<u64>)>| {
            let found = segments.find(Offset(offset));
            assert_eq!(found.map(|place| (place.segment.base.0, place.until.map(|until| until.0))), expected);
        };
        check(9, None);
        check(10, Some((10, Some(20))));
        check(29, Some((20, Some(30))));
        check(99, Some((30, None)));
        assert_eq!((segments.bytes_before(Offset(u64::MAX)), segments.oldest()), (15, Some(Offset(10))));
        assert_eq!(segments.oldest_below(Offset(19)), None);
        let oldest = segments.oldest_below(Offset(20)).unwrap();
        segments.remove_oldest(oldest.id);
        segments.remove_oldest(oldest.id);
        assert_eq!(segments.oldest(), Some(Offset(20)));
    }
}
