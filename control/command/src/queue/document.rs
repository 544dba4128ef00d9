//! A queue as it is stored.
//! - Shape: JSON, `{"format":1,"next":..,"locks":..,"entries":[..]}`; times in milliseconds since 1970; a lock's holder is
//!   `[shard, slot, generation]` of a session or null.
//! - Errors: [`CommandError::Corrupt`] for anything that no queue can be, a newer format included. Never panics.

use millrace_model::Timestamp;
use millrace_model::door::SessionKey;
use serde::{Deserialize, Serialize};

use super::{Entry, Holder, Lock, LockToken, Queue};
use crate::error::CommandError;
use crate::limits::{DEPTH_MAX, ID_CHARACTERS_MAX};
use crate::message::Ack;

const FORMAT: u32 = 1;

const CORRUPT: CommandError = CommandError::Corrupt { what: "command queue" };

#[derive(Serialize, Deserialize)]
struct StoredQueue {
    format: u32,
    next: u64,
    locks: u32,
    entries: Vec<StoredEntry>,
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    sequence: u64,
    id: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation: Option<Box<str>>,
    ack: Ack,
    enqueued: i64,
    expiry: i64,
    deliveries: u32,
    bytes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lock: Option<StoredLock>,
}

#[derive(Serialize, Deserialize)]
struct StoredLock {
    token: u64,
    until: i64,
    session: Option<(u16, u32, u32)>,
}

impl Queue {
    /// The form that is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.entries.iter().map(StoredEntry::from).collect();
        let stored = StoredQueue { format: FORMAT, next: self.next_sequence, locks: self.next_lock, entries };
        // Serialising text and numbers into memory does not fail; were it to, the empty document is refused when it is read.
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads what [`Self::encode`] gave.
    ///
    /// # Errors
    /// When it is not of that form, or of a newer one.
    pub fn decode(document: &[u8]) -> Result<Self, CommandError> {
        let stored: StoredQueue = serde_json::from_slice(document).map_err(|_| CORRUPT)?;
        let entries: Vec<Entry> = stored.entries.into_iter().map(Entry::from).collect();
        let queue = Self { entries, next_sequence: stored.next, next_lock: stored.locks };
        if stored.format == FORMAT && queue.is_possible() { Ok(queue) } else { Err(CORRUPT) }
    }

    /// Whether numbers grow and stay below the next one, and no token is there twice.
    fn is_possible(&self) -> bool {
        let sequences: Vec<u64> = self.entries.iter().map(|entry| entry.sequence).collect();
        let mut tokens: Vec<LockToken> = self.entries.iter().filter_map(|entry| Some(entry.lock?.token)).collect();
        let locks = tokens.len();
        tokens.sort_unstable();
        tokens.dedup();
        self.entries.len() <= DEPTH_MAX
            && tokens.len() == locks
            && sequences.is_sorted_by(|earlier, later| earlier < later)
            && sequences.last().is_none_or(|&last| last < self.next_sequence)
            && self.entries.iter().all(|entry| entry.message_id.chars().count() <= ID_CHARACTERS_MAX)
    }
}

impl From<&Entry> for StoredEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            sequence: entry.sequence,
            id: entry.message_id.clone(),
            correlation: entry.correlation_id.clone(),
            ack: entry.ack,
            enqueued: entry.enqueued.0,
            expiry: entry.expiry.0,
            deliveries: entry.delivery_count,
            bytes: entry.bytes,
            lock: entry.lock.map(StoredLock::from),
        }
    }
}

impl From<StoredEntry> for Entry {
    fn from(stored: StoredEntry) -> Self {
        Self {
            sequence: stored.sequence,
            message_id: stored.id,
            correlation_id: stored.correlation,
            ack: stored.ack,
            enqueued: Timestamp(stored.enqueued),
            expiry: Timestamp(stored.expiry),
            delivery_count: stored.deliveries,
            bytes: stored.bytes,
            lock: stored.lock.map(Lock::from),
        }
    }
}

impl From<Lock> for StoredLock {
    fn from(lock: Lock) -> Self {
        let session = match lock.holder {
            Holder::Session(key) => Some((key.shard, key.slot, key.generation)),
            Holder::Http => None,
        };
        Self { token: lock.token.0, until: lock.until.0, session }
    }
}

impl From<StoredLock> for Lock {
    fn from(stored: StoredLock) -> Self {
        let holder = match stored.session {
            Some((shard, slot, generation)) => Holder::Session(SessionKey { shard, slot, generation }),
            None => Holder::Http,
        };
        Self { token: LockToken(stored.token), until: Timestamp(stored.until), holder }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STORED: &str = concat!(
        r#"{"format":1,"next":9,"locks":3,"entries":[{"sequence":4,"id":"m","correlation":"c","ack":"full","#,
        r#""enqueued":1000,"expiry":2000,"deliveries":1,"bytes":5,"#,
        r#""lock":{"token":8589934599,"until":1500,"session":[1,2,3]}},"#,
        r#"{"sequence":8,"id":"n","ack":"none","enqueued":1100,"expiry":2100,"deliveries":0,"bytes":0}]}"#
    );

    #[test]
    fn the_stored_form_stays_readable() {
        let queue = Queue::decode(STORED.as_bytes()).unwrap();
        let key = SessionKey { shard: 1, slot: 2, generation: 3 };
        let lock = Lock { token: LockToken::new(2, 7), until: Timestamp(1_500), holder: Holder::Session(key) };
        assert_eq!(queue.entries()[0].lock, Some(lock));
        assert_eq!(queue.next_deadline(), Some(Timestamp(1_500)));
        assert_eq!(String::from_utf8(queue.encode()).unwrap(), STORED);
    }

    #[test]
    fn what_no_queue_can_be_is_refused() {
        let lock = r#""lock":{"token":8589934599,"until":1500,"session":null}"#;
        let twice = format!("\"bytes\":0,{lock}");
        for (part, wrong) in [
            ("\"bytes\":0", &*twice),
            ("\"format\":1", "\"format\":2"),
            ("\"next\":9", "\"next\":8"),
            ("\"sequence\":4", "\"sequence\":8"),
            ("\"sequence\":8", "\"sequence\":3"),
            ("\"full\"", "\"some\""),
            ("[1,2,3]", "[1,2]"),
            ("\"bytes\":5", "\"bytes\":-5"),
        ] {
            assert_eq!(Queue::decode(STORED.replace(part, wrong).as_bytes()), Err(CORRUPT), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn damage_is_read_or_refused(at in 0..STORED.len(), byte in any::<u8>(), end in 0..STORED.len()) {
            let mut damaged = STORED.as_bytes().to_vec();
            damaged[at] = byte;
            drop(Queue::decode(&damaged));
            prop_assert_eq!(Queue::decode(&damaged[..end.min(at)]), Err(CORRUPT));
        }
    }
}
