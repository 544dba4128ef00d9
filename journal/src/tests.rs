//! The whole journal, on disks that fail and on a real one. Here: what the tests have in common.

mod damage;
mod faults;
mod fixture;
mod live;
mod model;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_model::batch::IdentitySlot;
use millrace_model::{Batch, BatchBuilder, Identity, IdentityRef, MessageSource, Offset, ShardId, Timestamp};

use crate::appender::Appender;
use crate::config::JournalConfig;
use crate::error::JournalError;
use crate::journal::open_parts;
use crate::reader::Reader;
use crate::recovery::Recovery;
use crate::shared::Shared;
use crate::storage::simulated::SimulatedDisk;
use crate::writer::Writer;

/// Room for some four thousand bytes of records.
const SEGMENT: u64 = 8192;
const SEGMENT_LENGTH: usize = 8192;
/// Where records begin.
const START: usize = 4160;
const SHARD: ShardId = ShardId(3);

/// A batch whose contents follow from `seed`, so that two with the same offset can be told apart.
pub(crate) fn batch(base: Offset, messages: usize, body_bytes: usize, seed: u64) -> Batch {
    let mut builder = BatchBuilder::new();
    let mut noise = crate::storage::simulated::Dice(seed);
    for row in 0..messages {
        let device_id = format!("device-{}", row % 3);
        let identity = Identity::new(&IdentityRef {
            device_id: &device_id,
            generation_id: "1",
            auth_method: "{}",
            ..IdentityRef::default()
        });
        // Half of it does not compress.
        let body: Vec<u8> =
            (0..body_bytes).map(|at| if at % 2 == 0 { b'a' } else { u8::try_from(noise.roll(256)).unwrap() }).collect();
        let at = Timestamp(i64::try_from(seed % 1_000_000).unwrap());
        builder.append(
            &identity.unwrap(),
            &mut IdentitySlot::default(),
            MessageSource::Telemetry,
            at,
            [b"k=v", b""],
            &body,
        );
    }
    builder.seal(SHARD, base)
}

/// Segments of more blocks, so that zeros are written ahead of records.
fn wide_config() -> JournalConfig {
    JournalConfig { segment_bytes: 5 * SEGMENT, ..tiny_config() }
}

fn tiny_config() -> JournalConfig {
    JournalConfig {
        segment_bytes: SEGMENT,
        sync_interval_us: 0,
        queue_batches: 8,
        recent_bytes: 1000,
        total_bytes_max: 0,
        keep_free_bytes: 0,
        sync: true,
    }
}

/// A journal without a thread: the test takes the writer's turns.
struct Rig {
    shared: Arc<Shared>,
    writer: Writer,
    appender: Appender,
    recovery: Recovery,
}

impl Rig {
    fn open(disk: &SimulatedDisk, config: &JournalConfig, floor: Offset) -> Result<Self, JournalError> {
        let (shared, writer, recovery) = open_parts(Arc::new(disk.clone()), SHARD, Path::new("/j"), config, floor)?;
        let appender = Appender::new(Arc::clone(&shared));
        Ok(Self { shared, writer, appender, recovery })
    }

    fn append(&mut self, messages: usize, body_bytes: usize, seed: u64) -> Option<Arc<Batch>> {
        self.appender.append(batch(self.appender.next_offset(), messages, body_bytes, seed)).ok()
    }

    /// Appends and makes durable.
    fn store(&mut self, messages: usize, body_bytes: usize, seed: u64) -> Arc<Batch> {
        let stored = self.append(messages, body_bytes, seed).unwrap();
        self.writer.turn().unwrap();
        assert_eq!(self.durable(), stored.end());
        stored
    }

    fn durable(&self) -> Offset {
        self.shared.durable.offset()
    }

    fn reader(&self, from: Offset) -> Reader {
        Reader::new(Arc::clone(&self.shared), from)
    }

    fn read_all(&self, from: Offset) -> Vec<Arc<Batch>> {
        read_all(&mut self.reader(from))
    }
}

fn read_all(reader: &mut Reader) -> Vec<Arc<Batch>> {
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

fn segment_path(base: u64) -> PathBuf {
    Path::new("/j/shard-3").join(crate::segment::file_name(Offset(base)))
}
