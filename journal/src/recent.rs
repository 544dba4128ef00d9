//! The newest durable batches, kept in memory so that readers that keep up never touch the disk.
//! - Limits: [`crate::JournalConfig::recent_bytes`]; the oldest batch goes first. One batch is kept whatever its size.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use millrace_model::{Batch, Offset};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Recent {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Mutex::default() }
    }

    /// Adds batches that follow those held.
    pub(crate) fn extend(&self, batches: impl IntoIterator<Item = Arc<Batch>>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in batches {
            held.bytes = held.bytes.saturating_add(batch.size_bytes());
            held.batches.push_back(batch);
        }
        while held.bytes > self.bytes_max && held.batches.len() > 1 {
            if let Some(oldest) = held.batches.pop_front() {
                held.bytes = held.bytes.saturating_sub(oldest.size_bytes());
            }
        }
    }

    /// The batch that holds `offset`.
    pub(crate) fn find(&self, offset: Offset) -> Option<Arc<Batch>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let row = held.batches.partition_point(|batch| batch.end() <= offset);
        held.batches.get(row).filter(|batch| batch.base() <= offset).cloned()
    }
}
