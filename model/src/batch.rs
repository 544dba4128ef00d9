//! The messages that one shard accepted together: columns over one contiguous buffer.
//! - Shape: `bytes` holds, message after message, bag then body; `bag_end` and `body_end` say where each stops (a bag starts
//!   where the previous body stopped). `identities` holds each sender once ([`Identity`]), `identity_end` where each stops,
//!   and `identity` says for each message which of them sent it.
//! - Units: positions are bytes in `bytes`; rows count messages from 0; `enqueued_at` is milliseconds since 1970.
//! - Invariants: all per-message columns have one length; ends never go back and stay inside their buffer
//!   ([`BatchColumns::check`] proves it for what came from disk).
//! - Hot path: [`BatchBuilder::append`]: one copy, no allocation once the columns have grown, no look-up.

use crate::bag;
use crate::identity::{Identity, IdentityRef};
use crate::ids::{Offset, ShardId};
use crate::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX};
use crate::property::{Property, SystemProperty};
use crate::time::Timestamp;

/// What kind of event a message is (`iothub-message-source`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageSource {
    /// Sent by a device or module.
    Telemetry = 0,
    /// A device connected or disconnected.
    DeviceConnectionStateEvents = 1,
    /// An identity was created or deleted.
    DeviceLifecycleEvents = 2,
    /// A digital twin changed.
    DigitalTwinChangeEvents = 3,
    /// A twin changed.
    TwinChangeEvents = 4,
    /// A job moved on.
    DeviceJobLifecycleEvents = 5,
}

impl MessageSource {
    /// The name on delivered messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Telemetry => "Telemetry",
            Self::DeviceConnectionStateEvents => "deviceConnectionStateEvents",
            Self::DeviceLifecycleEvents => "deviceLifecycleEvents",
            Self::DigitalTwinChangeEvents => "digitalTwinChangeEvents",
            Self::TwinChangeEvents => "twinChangeEvents",
            Self::DeviceJobLifecycleEvents => "deviceJobLifecycleEvents",
        }
    }

    /// The source with this code in [`BatchColumns::source`].
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        [
            Self::Telemetry,
            Self::DeviceConnectionStateEvents,
            Self::DeviceLifecycleEvents,
            Self::DigitalTwinChangeEvents,
            Self::TwinChangeEvents,
            Self::DeviceJobLifecycleEvents,
        ]
        .into_iter()
        .find(|source| source.code() == code)
    }

    /// Its code in [`BatchColumns::source`].
    #[expect(clippy::as_conversions, reason = "the discriminant of a repr(u8) enum")]
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// The columns of a batch; also, through rkyv, its form on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct BatchColumns {
    /// Bag and body of every message, one after the other.
    pub bytes: Vec<u8>,
    /// Where each bag stops in `bytes`.
    pub bag_end: Vec<u32>,
    /// Where each body stops in `bytes`.
    pub body_end: Vec<u32>,
    /// Which identity sent each message.
    pub identity: Vec<u32>,
    /// When each message was accepted, milliseconds since 1970.
    pub enqueued_at: Vec<i64>,
    /// Code of each message's [`MessageSource`].
    pub source: Vec<u8>,
    /// Every sender once, encoded.
    pub identities: Vec<u8>,
    /// Where each sender stops in `identities`.
    pub identity_end: Vec<u32>,
}

/// Why columns that came from disk cannot be a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("columns do not fit together: {0}")]
pub struct ColumnsError(&'static str);

impl BatchColumns {
    /// Proves the invariants that reading relies on.
    ///
    /// # Errors
    /// Names the column that does not fit.
    pub fn check(&self) -> Result<(), ColumnsError> {
        let rows = self.body_end.len();
        if [self.bag_end.len(), self.identity.len(), self.enqueued_at.len(), self.source.len()] != [rows; 4] {
            return Err(ColumnsError("column lengths differ"));
        }
        let mut at = 0;
        for (&bag, &body) in self.bag_end.iter().zip(&self.body_end) {
            if bag < at || body < bag {
                return Err(ColumnsError("ends go back"));
            }
            at = body;
        }
        if index(at) > self.bytes.len() {
            return Err(ColumnsError("ends beyond the buffer"));
        }
        let mut at = 0;
        for &end in &self.identity_end {
            let identity = self.identities.get(index(at)..index(end));
            identity.and_then(IdentityRef::decode).ok_or(ColumnsError("identity"))?;
            at = end;
        }
        let identities = self.identity_end.len();
        if self.identity.iter().any(|&identity| index(identity) >= identities) {
            return Err(ColumnsError("identity index"));
        }
        if self.source.iter().any(|&code| MessageSource::from_code(code).is_none()) {
            return Err(ColumnsError("source"));
        }
        Ok(())
    }

    fn identity(&self, number: u32) -> IdentityRef<'_> {
        let start = number.checked_sub(1).and_then(|before| self.identity_end.get(index(before)).copied()).unwrap_or(0);
        let end = self.identity_end.get(index(number)).copied().unwrap_or(start);
        self.identities.get(index(start)..index(end)).and_then(IdentityRef::decode).unwrap_or_default()
    }
}

/// Columns of a batch, each with a buffer of its own.
const COLUMNS: usize = 8;

/// What an allocator takes for a buffer beside its contents.
const ALLOCATION_BYTES: usize = 16;

/// A sealed batch with its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    shard: ShardId,
    base: Offset,
    columns: BatchColumns,
}

/// One message of a batch, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Shard that accepted it.
    pub shard: ShardId,
    /// Its position in the shard's journal.
    pub offset: Offset,
    /// Who sent it.
    pub identity: IdentityRef<'a>,
    /// When it was accepted.
    pub enqueued_at: Timestamp,
    /// What kind of event it is.
    pub source: MessageSource,
    /// Its properties, encoded ([`crate::bag`]).
    pub bag: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Its properties, each name once.
    #[must_use]
    pub fn properties(&self) -> Vec<Property<'a>> {
        bag::properties(self.bag)
    }

    /// A system property that the sender set.
    #[must_use]
    pub fn system(&self, property: SystemProperty) -> Option<std::borrow::Cow<'a, str>> {
        bag::system(self.bag, property)
    }
}

impl Batch {
    /// A batch out of columns that fit together.
    ///
    /// # Errors
    /// When they do not.
    pub fn from_columns(shard: ShardId, base: Offset, columns: BatchColumns) -> Result<Self, ColumnsError> {
        columns.check()?;
        Ok(Self { shard, base, columns })
    }

    /// The shard that accepted it.
    #[must_use]
    pub const fn shard(&self) -> ShardId {
        self.shard
    }

    /// Offset of the first message.
    #[must_use]
    pub const fn base(&self) -> Offset {
        self.base
    }

    /// Offset after the last message.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.base.plus(u64::try_from(self.len()).unwrap_or(u64::MAX))
    }

    /// How many messages it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.body_end.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that it takes, near enough for accounting. What every batch takes counts too: it is most of a small one.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let columns = &self.columns;
        let each = columns.bytes.len() + columns.identities.len() + self.len() * 21 + columns.identity_end.len() * 4;
        size_of::<Self>() + COLUMNS * ALLOCATION_BYTES + each
    }

    /// The columns themselves.
    #[must_use]
    pub const fn columns(&self) -> &BatchColumns {
        &self.columns
    }

    /// The distinct senders, in order of first appearance; [`BatchColumns::identity`] indexes them.
    pub fn identities(&self) -> impl Iterator<Item = IdentityRef<'_>> {
        (0..u32::try_from(self.columns.identity_end.len()).unwrap_or(0)).map(|number| self.columns.identity(number))
    }

    /// The message in `row`; `None` past the end.
    #[must_use]
    pub fn message(&self, row: usize) -> Option<Message<'_>> {
        let columns = &self.columns;
        let bag_end = index(*columns.bag_end.get(row)?);
        let body_end = index(*columns.body_end.get(row)?);
        let start = row.checked_sub(1).and_then(|before| columns.body_end.get(before)).map_or(0, |&end| index(end));
        Some(Message {
            shard: self.shard,
            offset: self.base.plus(u64::try_from(row).ok()?),
            identity: columns.identity(*columns.identity.get(row)?),
            enqueued_at: Timestamp(*columns.enqueued_at.get(row)?),
            source: MessageSource::from_code(*columns.source.get(row)?)?,
            bag: columns.bytes.get(start..bag_end)?,
            body: columns.bytes.get(bag_end..body_end)?,
        })
    }

    /// The bag of the message in `row`, for those who need nothing else of it; `None` past the end.
    #[must_use]
    pub fn bag(&self, row: usize) -> Option<&[u8]> {
        let columns = &self.columns;
        let start = row.checked_sub(1).and_then(|before| columns.body_end.get(before)).map_or(0, |&end| index(end));
        columns.bytes.get(start..index(*columns.bag_end.get(row)?))
    }

    /// All messages in order.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        (0..self.len()).filter_map(|row| self.message(row))
    }
}

/// Remembers which entry of the open batch's identity column belongs to a session, so that no message needs a look-up.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdentitySlot {
    generation: u64,
    number: u32,
}

/// The open batch of a shard.
#[derive(Debug)]
pub struct BatchBuilder {
    columns: BatchColumns,
    /// Which batch is open; 0 is never used, so a default [`IdentitySlot`] matches none.
    generation: u64,
    /// Sizes of the last sealed batch, to grow the next one's columns at once.
    expected_bytes: usize,
    expected_rows: usize,
    expected_identity_bytes: usize,
    expected_identities: usize,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            columns: BatchColumns::default(),
            generation: 1,
            expected_bytes: 4096,
            expected_rows: 32,
            expected_identity_bytes: 256,
            expected_identities: 4,
        }
    }

    /// Copies one message in. `bag` and `more_bag` are both encoded properties; they are joined.
    pub fn append(
        &mut self,
        identity: &Identity,
        slot: &mut IdentitySlot,
        source: MessageSource,
        enqueued_at: Timestamp,
        bag: [&[u8]; 2],
        body: &[u8],
    ) {
        if self.columns.body_end.is_empty() {
            self.reserve();
        }
        if slot.generation != self.generation {
            *slot = IdentitySlot { generation: self.generation, number: self.intern(identity) };
        }
        let columns = &mut self.columns;
        let [first, second] = bag;
        columns.bytes.extend_from_slice(first);
        if !second.is_empty() {
            if !first.is_empty() {
                columns.bytes.push(b'&');
            }
            columns.bytes.extend_from_slice(second);
        }
        columns.bag_end.push(position(columns.bytes.len()));
        columns.bytes.extend_from_slice(body);
        columns.body_end.push(position(columns.bytes.len()));
        columns.identity.push(slot.number);
        columns.enqueued_at.push(enqueued_at.0);
        columns.source.push(source.code());
    }

    /// How many messages it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.body_end.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has to be sealed before the next message.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.columns.bytes.len() >= BATCH_BYTES_MAX
            || self.columns.identities.len() >= BATCH_BYTES_MAX
            || self.len() >= BATCH_MESSAGES_MAX
    }

    /// Closes the batch under its place in the journal and opens the next one.
    pub fn seal(&mut self, shard: ShardId, base: Offset) -> Batch {
        let columns = std::mem::take(&mut self.columns);
        self.generation = self.generation.wrapping_add(1).max(1);
        self.expected_bytes = columns.bytes.len();
        self.expected_rows = columns.body_end.len();
        self.expected_identity_bytes = columns.identities.len();
        self.expected_identities = columns.identity_end.len();
        Batch { shard, base, columns }
    }

    fn reserve(&mut self) {
        self.columns.bytes.reserve(self.expected_bytes);
        self.columns.bag_end.reserve(self.expected_rows);
        self.columns.body_end.reserve(self.expected_rows);
        self.columns.identity.reserve(self.expected_rows);
        self.columns.enqueued_at.reserve(self.expected_rows);
        self.columns.source.reserve(self.expected_rows);
        self.columns.identities.reserve(self.expected_identity_bytes);
        self.columns.identity_end.reserve(self.expected_identities);
    }

    fn intern(&mut self, identity: &Identity) -> u32 {
        self.columns.identities.extend_from_slice(identity.as_bytes());
        self.columns.identity_end.push(position(self.columns.identities.len()));
        position(self.columns.identity_end.len() - 1)
    }
}

/// A position in a batch's buffer. `limits.rs` proves that a batch stays far below 4 GiB.
#[expect(clippy::as_conversions, reason = "a batch is bounded by BATCH_BYTES_MAX and one message")]
fn position(len: usize) -> u32 {
    debug_assert!(u32::try_from(len).is_ok());
    len as u32
}

#[expect(clippy::as_conversions, reason = "usize has at least 32 bits on every supported target")]
const fn index(position: u32) -> usize {
    position as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(device_id: &str) -> Identity {
        Identity::new(&IdentityRef { device_id, generation_id: "1", auth_method: "{}", ..IdentityRef::default() })
            .unwrap()
    }

    #[test]
    fn messages_come_back_as_appended() {
        let mut builder = BatchBuilder::new();
        let (one, two) = (identity("one"), identity("two"));
        let (mut slot_one, mut slot_two) = (IdentitySlot::default(), IdentitySlot::default());
        for round in 0..3_i64 {
            builder.append(&one, &mut slot_one, MessageSource::Telemetry, Timestamp(round), [b"a=b", b"c=d"], b"x");
            builder.append(&two, &mut slot_two, MessageSource::Telemetry, Timestamp(round), [b"", b""], b"");
        }
        let batch = builder.seal(ShardId(3), Offset(10));
        assert_eq!(batch.len(), 6);
        assert_eq!(batch.end(), Offset(16));
        assert_eq!(batch.identities().count(), 2);
        assert_eq!(batch.columns().check(), Ok(()));
        let message = batch.message(4).unwrap();
        assert_eq!((message.identity.device_id, message.offset, message.bag), ("one", Offset(14), &b"a=b&c=d"[..]));
        assert_eq!((message.body, message.enqueued_at), (&b"x"[..], Timestamp(2)));
        assert!(batch.messages().zip(0..).all(|(message, row)| batch.bag(row) == Some(message.bag)));
        assert!(batch.message(6).is_none() && batch.bag(6).is_none());
        builder.append(&two, &mut slot_two, MessageSource::Telemetry, Timestamp(9), [b"", b""], b"y");
        let next = builder.seal(ShardId(3), batch.end());
        assert_eq!(next.message(0).unwrap().identity.device_id, "two");
    }

    #[test]
    fn columns_that_do_not_fit_are_refused() {
        let good = {
            let mut builder = BatchBuilder::new();
            let mut slot = IdentitySlot::default();
            builder.append(&identity("d"), &mut slot, MessageSource::Telemetry, Timestamp(0), [b"", b""], b"body");
            builder.seal(ShardId(0), Offset(0)).columns
        };
        let breaks: [fn(&mut BatchColumns); 5] = [
            |columns| columns.body_end = vec![99],
            |columns| columns.bag_end = vec![],
            |columns| columns.identity = vec![1],
            |columns| columns.source = vec![200],
            |columns| columns.identities = b"x".to_vec(),
        ];
        for damage in breaks {
            let mut columns = good.clone();
            damage(&mut columns);
            assert!(Batch::from_columns(ShardId(0), Offset(0), columns).is_err());
        }
    }
}
