//! What a shard needs at hand while it serves one connection: the open batch, pending acknowledgements, limits, the time.
//! - Invariants: a message is in the open batch and its PUBACK in `acks` before the next packet is looked at. While the journal
//!   takes no more, the open batch grows to its limit, and then nothing is read.

use std::sync::Arc;

use millrace_journal::Appender;
use millrace_model::{Batch, BatchBuilder, ShardId};
use millrace_protocols_mqtt::Limits;

use crate::acks::Acks;
use crate::clock::Clock;
use crate::config::IngestConfig;
use crate::directory::Directory;
use crate::events::ShardMetrics;

/// See the module's documentation.
pub(crate) struct Desk {
    pub(crate) shard: ShardId,
    pub(crate) config: Arc<IngestConfig>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) builder: BatchBuilder,
    pub(crate) acks: Acks,
    pub(crate) appender: Appender,
    /// A sealed batch that the journal did not take.
    pub(crate) blocked: Option<Batch>,
    pub(crate) metrics: ShardMetrics,
    /// Messages taken in this turn, and their bytes.
    pub(crate) turn_messages: usize,
    pub(crate) turn_bytes: usize,
    /// Sessions that may still be let in this second.
    pub(crate) connects_left: u32,
    /// Scratch for properties that have to be encoded.
    pub(crate) bag: Vec<u8>,
}

impl Desk {
    /// Whether messages can be taken now. A journal that is busy does not stop the reading before the open batch is full.
    pub(crate) fn can_read(&mut self) -> bool {
        self.unblock() && (!self.builder.is_full() || self.seal())
    }

    /// Hands the open batch to the journal. False: the journal takes no more for now; the batch stays open and grows.
    pub(crate) fn seal(&mut self) -> bool {
        if !self.unblock() || self.appender.is_full() {
            return false;
        }
        if self.builder.is_empty() {
            return true;
        }
        let batch = self.builder.seal(self.shard, self.appender.next_offset());
        self.hand_over(batch)
    }

    /// Whether reading has stopped.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.is_some() || (self.builder.is_full() && self.appender.is_full())
    }

    fn unblock(&mut self) -> bool {
        match self.blocked.take() {
            Some(batch) => self.hand_over(batch),
            None => true,
        }
    }

    fn hand_over(&mut self, batch: Batch) -> bool {
        match self.appender.append(batch) {
            Ok(batch) => {
                self.acks.seal(batch.end(), self.clock.now);
                true
            }
            Err(full) => {
                self.blocked = Some(full.0);
                false
            }
        }
    }
}
