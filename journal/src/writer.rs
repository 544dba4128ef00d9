//! The one thread that writes: takes what waits, encodes it, one write, one sync, then says so.
//! - Invariants: `durable` moves only after a sync that succeeded. A segment whose write or sync failed is never written or
//!   synced again: the batches that are not durable are still in the queue and go into a fresh segment, which begins at the
//!   durable offset and so supersedes whatever the failed one holds from there on.
//! - Limits: a group is bounded by `GROUP_BYTES_MAX`; between two attempts that fail lies `STALL_PAUSE`.
//! - Errors: none leaves here while the journal is open; they become [`crate::Health::Stalled`].
//! - Hot path: [`Writer::commit`]: one system call a group.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use millrace_model::{Batch, Offset};

use crate::active::Active;
use crate::appender::Due;
use crate::config::JournalConfig;
use crate::encode::Encoder;
use crate::error::JournalError;
use crate::events;
use crate::limits::{FEW_INTERVALS, FEW_MESSAGES, STALL_PAUSE};
use crate::recovery::UNFINISHED_FILE;
use crate::segment::{RECORDS_BLOCK, RECORDS_START, SegmentHeader, file_name};
use crate::shared::Shared;
use crate::storage::{Access, Lock, StoredFile};
use crate::walk::{Damage, Step, Walk};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    config: JournalConfig,
    active: Option<Active>,
    /// The next segment, allocated ahead of need.
    prepared: Option<Box<dyn StoredFile>>,
    encoder: Encoder,
    group: Vec<Arc<Batch>>,
    last_sync: Option<Instant>,
    /// Whether the last group was of many messages.
    expects_more: bool,
    /// Held as long as anything may be written.
    _lock: Box<dyn Lock>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, config: JournalConfig, lock: Box<dyn Lock>) -> Self {
        Self {
            shared,
            config,
            active: None,
            prepared: None,
            encoder: Encoder::new(),
            group: Vec::new(),
            last_sync: None,
            expects_more: false,
            _lock: lock,
        }
    }

    /// Writes until the journal is closed and all is written, or cannot be.
    pub(crate) fn run(mut self) -> Result<(), JournalError> {
        loop {
            let last_sync = self.last_sync.filter(|_| self.config.sync);
            let interval = self.config.sync_interval();
            let due = last_sync.and_then(|at| {
                Some(Due {
                    many: at.checked_add(interval)?,
                    few: at.checked_add(interval.saturating_mul(FEW_INTERVALS))?,
                    expects_more: self.expects_more,
                })
            });
            self.shared.queue.wait(due);
            // Whoever closes waits for what was appended, but not for a disk that refuses it.
            let closing = self.shared.queue.is_closing();
            match self.turn() {
                Ok(()) if closing && self.shared.queue.len() == 0 => return self.finish(),
                Ok(()) => {}
                Err(error) if closing => return Err(self.unwritten(error)),
                Err(_) => self.shared.queue.pause(STALL_PAUSE),
            }
        }
    }

    /// Removes what may go and writes one group; whether that worked is also the journal's health.
    pub(crate) fn turn(&mut self) -> Result<(), JournalError> {
        if let Err(error) = self.trim() {
            // Writing goes on; the segment is tried again with the next trim.
            events::not_trimmed(self.shared.shard, &error);
        }
        let outcome = self.commit();
        match &outcome {
            Ok(()) => self.shared.resume(Instant::now()),
            Err(error) => self.shared.stall(Instant::now(), error),
        }
        outcome
    }

    fn unwritten(&self, error: JournalError) -> JournalError {
        match self.shared.queue.len() {
            0 => error,
            batches => JournalError::CloseUnwritten { batches, from: self.shared.durable.offset() },
        }
    }

    /// What level `memory` left in the system's cache is synced at the end.
    fn finish(self) -> Result<(), JournalError> {
        match (&self.active, self.config.sync) {
            (Some(active), false) => active.sync().map_err(JournalError::storage("sync", &active.path)),
            _ => Ok(()),
        }
    }

    /// Deletes segments that lie wholly below what all readers are past.
    fn trim(&self) -> Result<(), JournalError> {
        let below = self.shared.trim_below();
        while let Some(oldest) = self.shared.segments.oldest_below(below) {
            match self.shared.storage.remove(&oldest.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(JournalError::storage("remove", &oldest.path)(error));
                }
                _ => self.shared.segments.remove_oldest(oldest.id),
            }
            // One by one: if a later one went first in a crash, its messages would seem to be lost.
            let directory = &self.shared.directory;
            self.shared
                .storage
                .sync_directory(directory)
                .map_err(JournalError::storage("sync the directory", directory))?;
            self.shared.meters.segments_removed.increment(1);
            self.note_disk_bytes();
        }
        Ok(())
    }

    /// Writes and syncs the oldest batches that wait.
    fn commit(&mut self) -> Result<(), JournalError> {
        let mut group = std::mem::take(&mut self.group);
        self.shared.queue.group(&mut group);
        let written = if group.is_empty() { Ok(0) } else { self.write(&group) };
        if let Ok(count) = written {
            self.publish(&group, count);
        }
        group.clear();
        self.group = group;
        written.map(drop)?;
        self.prepare_ahead();
        Ok(())
    }

    /// Writes as many of `batches` as fit into one segment; says how many are durable.
    fn write(&mut self, batches: &[Arc<Batch>]) -> Result<usize, JournalError> {
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.open_segment(self.shared.durable.offset())?,
        };
        let mut count = self.encode(&active, batches)?;
        if count == 0 {
            active = self.open_segment(self.shared.durable.offset())?;
            count = self.encode(&active, batches)?;
        }
        let outcome = self.write_encoded(&mut active, batches.get(..count).unwrap_or_default());
        self.settle(active, outcome).map(|()| count)
    }

    /// Goes on with a segment, or leaves it behind when writing to it has failed.
    fn settle(&mut self, active: Active, outcome: Result<(), JournalError>) -> Result<(), JournalError> {
        match outcome {
            Ok(()) => self.active = Some(active),
            Err(_) => self.abandon(active),
        }
        outcome
    }

    fn encode(&mut self, active: &Active, batches: &[Arc<Batch>]) -> Result<usize, JournalError> {
        self.encoder.clear();
        let mut count = 0_usize;
        for batch in batches {
            // A fresh segment takes its first batch whatever its size, or that batch would never be written.
            let room = if count == 0 && active.is_fresh() { u64::MAX } else { active.room() };
            if !self.encoder.append(batch, active.tag, room)? {
                break;
            }
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    fn write_encoded(&mut self, active: &mut Active, batches: &[Arc<Batch>]) -> Result<(), JournalError> {
        let length = u64::try_from(self.encoder.bytes().len()).unwrap_or(u64::MAX);
        let sync = self.config.sync;
        let began = Instant::now();
        active.write(self.encoder.blocks(), length, sync).map_err(JournalError::storage("write", &active.path))?;
        let now = Instant::now();
        if let Some(last) = batches.last() {
            self.shared.written.advance(last.end());
        }
        let meters = &self.shared.meters;
        if sync {
            meters.syncs.increment(1);
            meters.sync_seconds.record(now.saturating_duration_since(began));
        }
        self.last_sync = Some(now);
        meters.bytes.increment(length);
        meters.raw_bytes.increment(self.encoder.raw_bytes());
        self.encoder.keep();
        Ok(())
    }

    /// Tells everybody what is durable now.
    fn publish(&mut self, batches: &[Arc<Batch>], count: usize) {
        let durable = batches.get(..count).unwrap_or_default();
        let (Some(first), Some(last)) = (durable.first(), durable.last()) else { return };
        let (from, end) = (first.base(), last.end());
        self.expects_more = end.0.saturating_sub(from.0) >= FEW_MESSAGES;
        self.shared.recent.extend(durable.iter().cloned());
        self.shared.queue.pop(count);
        self.shared.meters.records.increment(u64::try_from(count).unwrap_or(0));
        self.shared.meters.messages.increment(end.0.saturating_sub(from.0));
        self.shared.durable.advance(end);
    }

    /// Leaves a failed segment behind, and checks that what was durable in it still is.
    fn abandon(&self, active: Active) {
        let durable = self.shared.durable.offset();
        let (path, base) = (active.path.clone(), active.base);
        drop(active);
        events::abandoned(self.shared.shard, &path, durable);
        let looked_at = if base < durable {
            self.verify(&path, base, durable)
        } else {
            // Nothing in it counts, and the fresh segment will take its name; until then, its space.
            self.shared.storage.open(&path, Access::ReadWrite).and_then(|file| file.truncate(RECORDS_START))
        };
        // A disk that does not even answer this will be found out by the readers.
        drop(looked_at);
    }

    fn verify(&self, path: &Path, base: Offset, durable: Offset) -> std::io::Result<()> {
        let shared = &self.shared;
        let mut walk = Walk::new(shared.storage.open(path, Access::Read)?, base, Some(durable))?;
        while walk.next < durable {
            let damage = match walk.step()? {
                Step::Record(..) => continue,
                Step::Damage(damage) => damage,
                Step::End { dirty_until } => {
                    let bytes = walk.position..dirty_until.max(walk.position);
                    let damage = Damage { bytes, offsets: walk.next..durable };
                    walk.next = durable;
                    damage
                }
            };
            let storage = shared.storage.as_ref();
            shared.quarantine.take(storage, &shared.meters, shared.shard, path, &damage, &mut walk);
        }
        Ok(())
    }

    /// Begins a segment: under another name until its header is safe.
    fn open_segment(&mut self, base: Offset) -> Result<Active, JournalError> {
        let file = match self.prepared.take() {
            Some(file) => file,
            None => self.allocate(base)?,
        };
        let named = self.name_segment(file, base);
        if named.is_err() {
            // It would keep the disk full.
            drop(self.shared.storage.remove(&self.unfinished_path()));
        }
        named
    }

    fn name_segment(&mut self, file: Box<dyn StoredFile>, base: Offset) -> Result<Active, JournalError> {
        let unfinished = self.unfinished_path();
        let header = SegmentHeader::new(self.shared.shard, base);
        let head = header.encode_twice();
        file.write_at(&head, 0).map_err(JournalError::storage("write", &unfinished))?;
        file.sync_data().map_err(JournalError::storage("sync", &unfinished))?;
        let path = self.shared.directory.join(file_name(base));
        let storage = &self.shared.storage;
        storage.rename(&unfinished, &path).map_err(JournalError::storage("rename", &unfinished))?;
        storage
            .sync_directory(&self.shared.directory)
            .map_err(JournalError::storage("sync the directory", &self.shared.directory))?;
        let capacity = self.config.segment_bytes;
        self.shared.segments.push(base, path.clone(), capacity);
        self.shared.meters.segments_created.increment(1);
        self.note_disk_bytes();
        self.encoder.begin(head.get(RECORDS_BLOCK..).unwrap_or_default());
        Ok(Active::new(file, path, base, header.tag, capacity))
    }

    fn allocate(&self, base: Offset) -> Result<Box<dyn StoredFile>, JournalError> {
        self.check_room(base)?;
        let path = self.unfinished_path();
        self.shared.storage.create(&path, self.config.segment_bytes).map_err(JournalError::storage("allocate", &path))
    }

    fn check_room(&self, base: Offset) -> Result<(), JournalError> {
        let JournalConfig { segment_bytes, total_bytes_max, keep_free_bytes, .. } = self.config;
        let total = self.shared.segments.bytes_before(base).saturating_add(segment_bytes);
        if total_bytes_max != 0 && total > total_bytes_max {
            let reason = format!("it would take more than total_bytes_max = {total_bytes_max}");
            return Err(JournalError::Full { reason });
        }
        let directory = &self.shared.directory;
        let free = self.shared.storage.free_bytes(directory).map_err(JournalError::storage("stat", directory))?;
        if free < keep_free_bytes.saturating_add(segment_bytes) {
            let reason = format!("it would leave less than keep_free_bytes = {keep_free_bytes} on the disk");
            return Err(JournalError::Full { reason });
        }
        Ok(())
    }

    /// While nothing waits, does what somebody would have to wait for later: writes the next zeros, and allocates the next segment
    /// when this one is half full.
    fn prepare_ahead(&mut self) {
        if self.shared.queue.len() != 0 {
            return;
        }
        if self.config.sync
            && let Some(mut active) = self.active.take()
        {
            let outcome = active.write_ahead().map_err(JournalError::storage("write", &active.path));
            // Nobody's batch has failed: the next one goes into a fresh segment, and finds out what the disk can do.
            drop(self.settle(active, outcome));
        }
        if self.prepared.is_none() && self.active.as_ref().is_some_and(Active::is_half_full) {
            // No room now is no fault yet: it is asked again when the segment is needed.
            self.prepared = self.allocate(Offset(u64::MAX)).ok().filter(|file| file.sync_data().is_ok());
        }
    }

    fn unfinished_path(&self) -> PathBuf {
        self.shared.directory.join(UNFINISHED_FILE)
    }

    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn note_disk_bytes(&self) {
        self.shared.meters.disk_bytes.set(self.shared.segments.bytes_before(Offset(u64::MAX)) as f64);
    }
}
