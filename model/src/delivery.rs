//! What a router hands to a sink, and what a sink promises.
//! - Shape: a [`Delivery`] is a whole batch, shared, plus a bit for each message that is meant for this sink.
//! - Invariants: a sink sees every batch of a shard in order and without a gap, also those of which it gets no message, so
//!   that its position always moves. What lies below [`Sink::safe`] needs never be delivered to it again.

use std::sync::Arc;
use std::time::Instant;

use crate::batch::{Batch, Message};
use crate::error::{Classify, Kind};
use crate::ids::{Offset, ShardId};

/// A set of rows of one batch: a bit per message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    words: Vec<u64>,
    rows: usize,
}

impl Selection {
    /// No row of `rows`.
    #[must_use]
    pub fn none(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], rows }
    }

    /// Every row of `rows`.
    #[must_use]
    pub fn all(rows: usize) -> Self {
        let mut selection = Self { words: vec![u64::MAX; rows.div_ceil(64)], rows };
        if let (Some(last), used @ 1..) = (selection.words.last_mut(), rows % 64) {
            *last = u64::MAX >> (64 - used);
        }
        selection
    }

    /// Adds a row; one past the end is ignored.
    #[inline]
    pub fn insert(&mut self, row: usize) {
        if row < self.rows
            && let Some(word) = self.words.get_mut(row / 64)
        {
            *word |= 1 << (row % 64);
        }
    }

    /// Adds the rows `64 * number..` whose bits are set; those past the end are ignored.
    #[inline]
    pub fn insert_word(&mut self, number: usize, bits: u64) {
        let left = self.rows.saturating_sub(number.saturating_mul(64));
        let valid = if left >= 64 { u64::MAX } else { (1_u64 << left).wrapping_sub(1) };
        if let Some(word) = self.words.get_mut(number) {
            *word |= bits & valid;
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / 64) {
            *word &= !(1 << (row % 64));
        }
    }

    /// Whether a row is in.
    #[must_use]
    pub fn contains(&self, row: usize) -> bool {
        self.words.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    /// Adds all rows of `other`.
    pub fn union(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// How many rows are in.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| usize::try_from(word.count_ones()).unwrap_or(0)).sum()
    }

    /// How many rows there are, in or not.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Whether no row is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The rows that are in, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(number, &word)| {
            std::iter::successors((word != 0).then_some(word), |&rest| {
                let rest = rest & rest.wrapping_sub(1);
                (rest != 0).then_some(rest)
            })
            .map(move |rest| number * 64 + usize::try_from(rest.trailing_zeros()).unwrap_or(0))
        })
    }
}

/// An application property that the hub adds to every message for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrichment {
    /// Property name.
    pub key: String,
    /// Property value.
    pub value: String,
}

/// One batch on its way to one sink.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The batch, shared with all other sinks.
    pub batch: Arc<Batch>,
    /// Which of its messages are meant for this sink.
    pub selected: Selection,
    /// Added to each of them.
    pub enrichments: Arc<[Enrichment]>,
}

impl Delivery {
    /// The selected messages in order.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.selected.iter().filter_map(|row| self.batch.message(row))
    }
}

/// Why a sink did not take a delivery, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Its own bounded buffer is full. The same delivery is offered again soon; not worth a line in the log.
    #[error("the sink is busy")]
    Busy,
    /// What it writes to does not answer or refuses. The same delivery is offered again after a pause.
    #[error("the sink's target is unavailable: {0}")]
    Unavailable(String),
    /// It lost what it had taken but not made safe (its target failed in the middle of a file). Everything of this shard
    /// from the offset on has to be offered again; other shards may answer the same on their next call.
    #[error("the sink starts shard {0} again at offset {1}")]
    Rewind(ShardId, Offset),
    /// It cannot ever go on as configured.
    #[error("the sink cannot go on: {0}")]
    Broken(String),
}

impl Classify for SinkError {
    fn kind(&self) -> Kind {
        match self {
            Self::Busy => Kind::Throttled,
            Self::Unavailable(_) | Self::Rewind(..) => Kind::Unavailable,
            Self::Broken(_) => Kind::Conflict,
        }
    }
}

/// A driver for one endpoint. It is owned and called by one thread of its own, so it may block for a moment (some tens of
/// milliseconds), but a longer wait is an [`SinkError::Busy`] or [`SinkError::Unavailable`]: the thread has to stay able to drain.
pub trait Sink: Send {
    /// Where to go on with a shard, before its first delivery. `cursor` is what was last known to be safe; a sink that knows
    /// better (it finds its own complete files) answers a higher offset and must take every message from there on.
    ///
    /// # Errors
    /// When the target cannot be asked; the call is repeated.
    fn resume(&mut self, shard: ShardId, cursor: Offset) -> Result<Offset, SinkError>;

    /// Takes one batch. On an error nothing of it counts as taken, and the same batch is offered again. A sink that took part
    /// of it has to remember that.
    ///
    /// # Errors
    /// See [`SinkError`].
    fn deliver(&mut self, delivery: &Delivery) -> Result<(), SinkError>;

    /// Serves time-outs and completions. Called after deliveries, and at least every 100 ms.
    ///
    /// # Errors
    /// See [`SinkError`]; reported, and called again.
    fn poll(&mut self, now: Instant) -> Result<(), SinkError>;

    /// The offset below which all messages of `shard` that were meant for this sink are safe at its target.
    fn safe(&self, shard: ShardId) -> Offset;

    /// Completes what is open, as far as it goes before `deadline`. No delivery follows.
    ///
    /// # Errors
    /// When something could not be completed; it stays in the journal.
    fn drain(&mut self, deadline: Instant) -> Result<(), SinkError>;
}

/// Where messages go that an endpoint can never take. What is put there is durable when `put` returns.
pub trait DeadLetter: Send + Sync {
    /// Stores a message with the reason why `endpoint` could not take it.
    ///
    /// # Errors
    /// When it could not be stored; the caller tries again and must not go past the message.
    fn put(&self, message: &Message<'_>, endpoint: &str, reason: &str) -> std::io::Result<()>;

    /// Stores several messages, each with endpoint and reason; a store that syncs does so once for all of them.
    ///
    /// # Errors
    /// As [`Self::put`]; some of them may have been stored.
    fn put_all(&self, letters: &[(Message<'_>, &str, &str)]) -> std::io::Result<()> {
        letters.iter().try_for_each(|(message, endpoint, reason)| self.put(message, endpoint, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_count_and_iterate() {
        for rows in [0, 1, 63, 64, 65, 200] {
            let all = Selection::all(rows);
            assert_eq!(all.count(), rows);
            assert_eq!(all.iter().collect::<Vec<_>>(), (0..rows).collect::<Vec<_>>());
            let mut some = Selection::none(rows);
            (0..rows).step_by(7).for_each(|row| some.insert(row));
            some.insert(rows);
            assert_eq!(some.iter().collect::<Vec<_>>(), (0..rows).step_by(7).collect::<Vec<_>>());
            let mut words = Selection::none(rows);
            (0..5).for_each(|number| words.insert_word(number, u64::MAX));
            assert_eq!(words, all);
            some.union(&all);
            assert_eq!(some, all);
        }
    }
}
