//! Acknowledgements that wait for their messages to be safe.
//! - Shape: a queue per level; an entry holds the PUBACKs of one batch and the offset up to which the journal (or Kafka) must
//!   have come. The open batch's PUBACKs are collected apart until it is sealed.
//! - Limits: [`ACKS_WAITING_MAX`] in all; a shard reads no more when so many wait, which happens only when Kafka is away and a
//!   listener acknowledges at level `kafka`.
//! - Hot path: [`Acks::open`]: one push of 12 bytes.

use std::collections::VecDeque;
use std::time::Instant;

use millrace_model::Offset;

use crate::config::AcknowledgeLevel;
use crate::connection::ConnectionKey;
use crate::limits::ACKS_WAITING_MAX;

/// One PUBACK to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingAck {
    pub(crate) connection: ConnectionKey,
    pub(crate) packet_id: u16,
}

/// The PUBACKs of one sealed batch.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Offset after the batch's last message.
    end: Offset,
    pub(crate) sealed_at: Instant,
    pub(crate) acks: Vec<PendingAck>,
}

#[derive(Debug, Default)]
struct Level {
    open: Vec<PendingAck>,
    sealed: VecDeque<Sealed>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    memory: Level,
    disk: Level,
    kafka: Level,
    spare: Vec<Vec<PendingAck>>,
    /// Sealed and not yet taken.
    waiting: usize,
}

impl Acks {
    fn level(&mut self, level: AcknowledgeLevel) -> &mut Level {
        match level {
            AcknowledgeLevel::Memory => &mut self.memory,
            AcknowledgeLevel::Disk => &mut self.disk,
            AcknowledgeLevel::Kafka => &mut self.kafka,
        }
    }

    /// Notes a PUBACK for a message of the open batch.
    #[inline]
    pub(crate) fn open(&mut self, level: AcknowledgeLevel, ack: PendingAck) {
        self.level(level).open.push(ack);
    }

    /// The open batch was sealed; its last message is the one before `end`.
    pub(crate) fn seal(&mut self, end: Offset, now: Instant) {
        for level in [AcknowledgeLevel::Memory, AcknowledgeLevel::Disk, AcknowledgeLevel::Kafka] {
            if self.level(level).open.is_empty() {
                continue;
            }
            let empty = self.spare.pop().unwrap_or_default();
            let level = self.level(level);
            let acks = std::mem::replace(&mut level.open, empty);
            let count = acks.len();
            level.sealed.push_back(Sealed { end, sealed_at: now, acks });
            self.waiting += count;
        }
    }

    /// Takes one batch's PUBACKs that may be sent now that `safe` is reached.
    pub(crate) fn take(&mut self, level: AcknowledgeLevel, safe: Offset) -> Option<Sealed> {
        let sealed = self.level(level).sealed.pop_front_if(|sealed| sealed.end <= safe)?;
        self.waiting -= sealed.acks.len();
        Some(sealed)
    }

    /// Gives a buffer back for later batches.
    pub(crate) fn recycle(&mut self, mut acks: Vec<PendingAck>) {
        if self.spare.len() < 8 {
            acks.clear();
            self.spare.push(acks);
        }
    }

    /// Whether as many wait as may.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting >= ACKS_WAITING_MAX
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        [&self.memory, &self.disk, &self.kafka].iter().all(|level| level.open.is_empty() && level.sealed.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_wait_for_their_offset() {
        let mut acks = Acks::default();
        let ack = |packet_id| PendingAck { connection: ConnectionKey { slot: 0, generation: 0 }, packet_id };
        acks.open(AcknowledgeLevel::Disk, ack(1));
        assert!(
            acks.take(AcknowledgeLevel::Disk, Offset(u64::MAX)).is_none(),
            "an open batch is not in the journal yet"
        );
        acks.seal(Offset(1), Instant::now());
        acks.open(AcknowledgeLevel::Disk, ack(2));
        acks.seal(Offset(2), Instant::now());
        assert!(acks.take(AcknowledgeLevel::Disk, Offset(0)).is_none());
        assert_eq!(acks.take(AcknowledgeLevel::Disk, Offset(1)).unwrap().acks[0].packet_id, 1);
        assert!(acks.take(AcknowledgeLevel::Disk, Offset(1)).is_none());
        assert!(!acks.is_empty());
        assert_eq!(acks.take(AcknowledgeLevel::Disk, Offset(9)).unwrap().acks[0].packet_id, 2);
        assert!(acks.is_empty());
    }
}
