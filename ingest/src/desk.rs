//! What a shard needs at hand while it serves one connection: the open batch, pending acknowledgements, limits, the time.
//! - Invariants: a message is in the open batch and its PUBACK in `acks` before the next packet is looked at. While the journal
//!   takes no more, the open batch grows to its limit, and then nothing is read.

use std::sync::Arc;

use millrace_journal::Appender;
use millrace_model::door::{Control, Provisioning, SessionKey};
use millrace_model::{BatchBuilder, ShardId};
use millrace_protocols_mqtt::Limits;

use crate::acks::Acks;
use crate::clock::Clock;
use crate::config::IngestConfig;
use crate::connection::ConnectionKey;
use crate::connection_events::Sequence;
use crate::directory::Directory;
use crate::events::ShardMetrics;

/// See the module's documentation.
pub(crate) struct Desk {
    pub(crate) shard: ShardId,
    pub(crate) config: Arc<IngestConfig>,
    pub(crate) directory: Arc<dyn Directory>,
    /// Decides about everything but telemetry; where there is none, nothing else is taken.
    pub(crate) control: Option<Arc<dyn Control>>,
    pub(crate) provisioning: Option<Arc<dyn Provisioning>>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) builder: BatchBuilder,
    pub(crate) acks: Acks,
    pub(crate) appender: Appender,
    pub(crate) metrics: ShardMetrics,
    /// Messages taken in this turn, and their bytes.
    pub(crate) turn_messages: usize,
    pub(crate) turn_bytes: usize,
    /// Those of them that no connection of this shard sent; and such that were told to be safe.
    pub(crate) turn_submitted: usize,
    pub(crate) turn_settled: usize,
    /// Sessions that may still be let in this second.
    pub(crate) connects_left: u32,
    /// Lines about closed connections that may still be logged in this second.
    pub(crate) lines_left: u32,
    /// Scratch for properties that have to be encoded.
    pub(crate) bag: Vec<u8>,
    /// Scratch for the topics of what is sent to clients.
    pub(crate) topic: String,
    /// Whether a session's begin and end are messages.
    pub(crate) has_connection_events: bool,
    pub(crate) sequence: Sequence,
    /// The day's messages are used up.
    pub(crate) is_used_up: bool,
    /// Answers that this shard has given by itself.
    pub(crate) own_answers: u32,
}

impl Desk {
    /// Whether messages can be taken now. A journal that is busy does not stop the reading before the open batch is full.
    pub(crate) fn can_read(&mut self) -> bool {
        (!self.builder.is_full() || self.seal()) && !self.acks.is_full()
    }

    /// Hands the open batch to the journal. False: the journal takes no more for now; the batch stays open and grows.
    pub(crate) fn seal(&mut self) -> bool {
        if self.builder.is_empty() {
            return true;
        }
        if self.appender.is_full() {
            return false;
        }
        let batch = self.builder.seal(self.shard, self.appender.next_offset());
        let end = batch.end();
        // There is room: only this thread appends, and it has just looked.
        let result = self.appender.append(batch);
        assert!(result.is_ok(), "the journal refused a batch although its queue had room");
        self.acks.seal(end, self.clock.now);
        true
    }

    /// What the control side calls a connection of this shard.
    pub(crate) const fn session_key(&self, key: ConnectionKey) -> SessionKey {
        SessionKey { shard: self.shard.0, slot: key.slot, generation: key.generation }
    }

    /// A token that tells one refusal from the others, in the answer and in the log.
    pub(crate) fn tracking_id(&mut self) -> String {
        self.own_answers = self.own_answers.wrapping_add(1);
        format!("{:04X}{:08X}{:016X}", self.shard.0, self.own_answers, self.clock.timestamp.0)
    }

    /// Whether reading has stopped.
    pub(crate) fn is_blocked(&self) -> bool {
        self.acks.is_full() || (self.builder.is_full() && self.appender.is_full())
    }

    /// Whether a closed connection may still have a line in the log this second; all are counted.
    pub(crate) fn may_log(&mut self) -> bool {
        self.lines_left = self.lines_left.saturating_sub(1);
        self.lines_left > 0
    }
}
