//! One shard as one sink sees it: a reader, the delivery in hand, and how far the sink has come.
//! - Invariants: deliveries are in order and without a gap but for damage, which is an event; rows below `floor` have been
//!   delivered before and are never selected again.

use std::path::Path;
use std::sync::Arc;

use millrace_journal::{Journal, JournalError, Reader};
use millrace_model::{Batch, Delivery, Offset, Selection, ShardId, Watermark};

use super::backoff::Backoff;
use crate::cursor::{Cursor, CursorError};
use crate::events::{CursorFailed, DriverMeters, LaneMeters, MessagesMissing};

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) shard: ShardId,
    journal: Journal,
    reader: Reader,
    cursor: Cursor,
    cursor_failed: bool,
    meters: LaneMeters,
    /// Pauses while this shard's batches cannot be read or are refused.
    pub(super) backoff: Backoff,
    /// Whether the sink said where it goes on.
    pub(super) resumed: bool,
    /// Where the journal ended when the driver was started; before that no sink can have come further.
    found_end: Offset,
    /// Next offset to be delivered.
    floor: Offset,
    /// Read, but not yet routed.
    pub(super) batch: Option<Arc<Batch>>,
    /// Routed, but not yet taken.
    pub(super) delivery: Option<Delivery>,
    pub(super) safe: Arc<Watermark>,
    pub(super) stored: Arc<Watermark>,
}

impl Lane {
    pub(super) fn new(directory: &Path, sink: &str, shard: ShardId, journal: Journal) -> Result<Self, CursorError> {
        let cursor = Cursor::new(directory, sink, shard)?;
        // A sink without a cursor is new: it gets what there is.
        let stored = cursor.read()?;
        let start = stored.unwrap_or_else(|| journal.oldest());
        Ok(Self {
            shard,
            reader: journal.reader(start),
            found_end: journal.next_offset(),
            journal,
            cursor,
            cursor_failed: false,
            meters: LaneMeters::new(sink, shard),
            backoff: Backoff::default(),
            resumed: false,
            floor: start,
            batch: None,
            delivery: None,
            safe: Arc::new(Watermark::new(start)),
            stored: Arc::new(Watermark::new(stored.unwrap_or_default())),
        })
    }

    /// Where the sink was last known to be safe.
    pub(super) fn start(&self) -> Offset {
        self.floor
    }

    /// The sink goes on from here. A sink that has what the journal never held would let new messages of the same offsets pass.
    pub(super) fn resume(&mut self, offset: Offset) -> Result<(), String> {
        if offset > self.found_end {
            let (shard, end) = (self.shard, self.found_end);
            return Err(format!(
                "it has messages of shard {shard} up to offset {offset}, but the journal ended at {end} when the hub started: the \
                 journal was lost or replaced by an older one; move the endpoint's old files and state away, or restore the journal"
            ));
        }
        self.resumed = true;
        self.rewind(offset);
        Ok(())
    }

    /// Delivers again from here.
    pub(super) fn rewind(&mut self, offset: Offset) {
        self.batch = None;
        self.delivery = None;
        self.floor = offset;
        self.reader.seek(offset);
    }

    /// Reads on unless a batch is in hand; whether one is then.
    pub(super) fn read(&mut self, sink: &str, meters: &DriverMeters) -> Result<bool, JournalError> {
        while self.batch.is_none() && self.delivery.is_none() {
            let batch = self.reader.next()?;
            // Damage may also stand at the end, with nothing behind it yet.
            let next = batch.as_ref().map_or_else(|| self.reader.position(), |batch| batch.base());
            if next > self.floor {
                let (shard, from) = (self.shard, self.floor);
                MessagesMissing { sink, shard, from, to: next }.emit(meters);
                self.floor = next;
            }
            let Some(batch) = batch else {
                return Ok(false);
            };
            if batch.end() > self.floor {
                self.batch = Some(batch);
            }
        }
        Ok(true)
    }

    /// Takes out what was delivered before.
    pub(super) fn deselect_delivered(&self, batch: &Batch, selected: &mut Selection) {
        let delivered = self.floor.0.saturating_sub(batch.base().0);
        for row in 0..usize::try_from(delivered).unwrap_or(usize::MAX).min(batch.len()) {
            selected.remove(row);
        }
    }

    /// The sink took the delivery.
    pub(super) fn taken(&mut self) {
        if let Some(delivery) = self.delivery.take() {
            self.floor = delivery.batch.end();
        }
    }

    /// Everything below has been taken.
    pub(super) const fn position(&self) -> Offset {
        self.floor
    }

    pub(super) fn durable(&self) -> Offset {
        self.journal.durable().offset()
    }

    /// Publishes what the sink calls safe, which cannot be more than it took.
    pub(super) fn publish(&self, safe: Offset) {
        self.safe.advance(safe.min(self.floor));
        self.meters.stands(self.safe.offset(), self.durable());
    }

    /// Stores the cursor if it moved.
    pub(super) fn store(&mut self, sink: &str, meters: &DriverMeters) {
        let safe = self.safe.offset();
        if safe <= self.stored.offset() {
            return;
        }
        match self.cursor.store(safe) {
            Ok(()) => {
                self.stored.advance(safe);
                self.cursor_failed = false;
            }
            Err(error) => {
                let first = !std::mem::replace(&mut self.cursor_failed, true);
                CursorFailed { sink, shard: self.shard, reason: &in_full(&error), first }.emit(meters);
            }
        }
    }
}

/// An error and its causes in one line, for a state that people read.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
