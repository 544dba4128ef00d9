//! What a journal does when it is opened: look at what the last run left, cut an unfinished end, set damage aside.
//! - Invariants: only the end of the newest segment is ever cut, and only behind its last intact record. What is kept there is
//!   written again and synced before anybody reads it: after a failed sync the cache may hold what the disk does not.
//! - Limits: the newest [`VERIFY_BYTES_MAX`] are checked record by record, of older segments only the header; readers check
//!   those when they get there.
//! - Errors: a segment of a later version or of another shard is refused; everything else is reported and survived.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use millrace_model::{Offset, ShardId};

use crate::error::JournalError;
use crate::events::{self, Meters, Truncated};
use crate::limits::{READ_BYTES, VERIFY_BYTES_MAX};
use crate::quarantine::{Quarantine, Quarantined};
use crate::segment::{RECORDS_START, VERSION, base_of};
use crate::segments::Segments;
use crate::storage::{Access, Storage, StoredFile};
use crate::walk::{Damage, Step, Walk};

/// Name of the lock file in a shard's directory.
pub(crate) const LOCK_FILE: &str = "lock";
/// Name of the directory for damaged parts.
pub(crate) const QUARANTINE_DIRECTORY: &str = "quarantine";
/// Name of a segment that is not yet part of the journal.
pub(crate) const UNFINISHED_FILE: &str = "next.new";

/// What was found when the journal was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Offset that the next message gets.
    pub next: Offset,
    /// Segments on disk.
    pub segments: usize,
    /// Segments of which only the header was checked.
    pub unverified_segments: usize,
    /// Intact batches in the segments that were checked.
    pub batches: u64,
    /// Bytes of the unfinished end that were cut off; they had not been acknowledged.
    pub truncated_bytes: u64,
    /// What cannot be read any more.
    pub quarantined: Vec<Quarantined>,
    /// Files that are not the journal's; they are left alone.
    pub strays: Vec<PathBuf>,
}

/// Recovers one shard's directory.
#[derive(Debug)]
pub(crate) struct Recoverer<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) meters: &'a Meters,
    pub(crate) quarantine: &'a Quarantine,
    pub(crate) shard: ShardId,
    pub(crate) directory: &'a Path,
    /// Everything below was durable once, because a sink is past it.
    pub(crate) floor: Offset,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    base: Offset,
    path: PathBuf,
    bytes: u64,
}

impl Recoverer<'_> {
    /// Looks at all segments, repairs the end of the newest, and enters them in `segments`.
    pub(crate) fn recover(&self, segments: &Segments) -> Result<Recovery, JournalError> {
        let began = Instant::now();
        let mut recovery = Recovery::default();
        let found = self.list(&mut recovery)?;
        let mut unverified = found.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
        for (row, file) in found.iter().enumerate() {
            let until = found.get(row.saturating_add(1)).map(|next| next.base);
            let skip = unverified > VERIFY_BYTES_MAX && until.is_some();
            unverified = unverified.saturating_sub(file.bytes);
            let bytes = self.segment(file, until, skip, &mut recovery)?;
            segments.push(file.base, file.path.clone(), bytes);
        }
        recovery.segments = found.len();
        recovery.next = recovery.next.max(self.floor);
        events::recovered(self.shard, recovery.segments, recovery.batches, recovery.next, began.elapsed());
        Ok(recovery)
    }

    /// The segments in order; removes what never became one, and sets aside what has a segment's name but nothing in it.
    fn list(&self, recovery: &mut Recovery) -> Result<Vec<Found>, JournalError> {
        let listed = self.storage.list(self.directory).map_err(JournalError::storage("list", self.directory))?;
        let mut found = Vec::new();
        for entry in listed {
            let path = self.directory.join(&entry.name);
            if let Some(base) = base_of(&entry.name) {
                if entry.bytes > 0 {
                    found.push(Found { base, path, bytes: entry.bytes });
                    continue;
                }
            } else if entry.name == UNFINISHED_FILE {
                self.storage.remove(&path).map_err(JournalError::storage("remove", &path))?;
                continue;
            } else if entry.name == LOCK_FILE || entry.name == QUARANTINE_DIRECTORY {
                continue;
            }
            events::stray(self.shard, &entry.name);
            recovery.strays.push(path);
        }
        found.sort_by_key(|file| file.base);
        Ok(found)
    }

    /// Checks one segment and gives the disk space it takes.
    fn segment(
        &self,
        file: &Found,
        until: Option<Offset>,
        skip: bool,
        recovery: &mut Recovery,
    ) -> Result<u64, JournalError> {
        let failed = |source| JournalError::storage("read", &file.path)(source);
        let opened = self.storage.open(&file.path, Access::Read).map_err(JournalError::storage("open", &file.path))?;
        let mut walk = Walk::new(opened, file.base, until).map_err(failed)?;
        self.header(file, &mut walk, recovery)?;
        if let (true, Some(until)) = (skip, until) {
            recovery.unverified_segments = recovery.unverified_segments.saturating_add(1);
            recovery.next = until;
            return Ok(file.bytes);
        }
        let dirty_until = loop {
            match walk.step().map_err(failed)? {
                Step::Record(..) => recovery.batches = recovery.batches.saturating_add(1),
                Step::Damage(damage) => self.set_aside(file, &damage, &mut walk, recovery),
                Step::End { dirty_until } => break dirty_until,
            }
        };
        recovery.next = walk.next;
        match until {
            Some(until) if walk.next < until => {
                let bytes = walk.position..dirty_until.max(walk.position);
                self.set_aside(file, &Damage { bytes, offsets: walk.next..until }, &mut walk, recovery);
                recovery.next = until;
                Ok(file.bytes)
            }
            Some(_) => Ok(file.bytes),
            None => self.end(file, &mut walk, dirty_until, recovery),
        }
    }

    fn header(&self, file: &Found, walk: &mut Walk, recovery: &mut Recovery) -> Result<(), JournalError> {
        let foreign = |what: String| JournalError::Foreign { file: file.path.clone(), what };
        match walk.header {
            Some(header) if header.version != VERSION => Err(foreign(format!("format version {}", header.version))),
            Some(header) if header.shard != self.shard => Err(foreign(format!("shard {}", header.shard))),
            Some(header) if header.base != file.base => Err(foreign(format!("base offset {}", header.base))),
            Some(_) if walk.is_header_intact => Ok(()),
            _ => {
                let damage = Damage { bytes: 0..RECORDS_START.min(file.bytes), offsets: file.base..file.base };
                self.set_aside(file, &damage, walk, recovery);
                Ok(())
            }
        }
    }

    /// Cuts the unfinished end of the newest segment and makes sure of the rest.
    fn end(
        &self,
        file: &Found,
        walk: &mut Walk,
        dirty_until: u64,
        recovery: &mut Recovery,
    ) -> Result<u64, JournalError> {
        let torn = dirty_until.saturating_sub(walk.position);
        if walk.next < self.floor || (torn > 0 && walk.header.is_none()) {
            // A sink has seen more, or the records cannot be told from noise: this is no unfinished end.
            let bytes = walk.position..dirty_until.max(walk.position);
            let offsets = walk.next..self.floor.max(walk.next);
            self.set_aside(file, &Damage { bytes, offsets }, walk, recovery);
        } else if torn > 0 {
            recovery.truncated_bytes = torn;
            Truncated { shard: self.shard, file: &file.path, bytes: torn, next: walk.next }.emit(self.meters);
        }
        let kept = walk.position.min(file.bytes);
        let opened =
            self.storage.open(&file.path, Access::ReadWrite).map_err(JournalError::storage("open", &file.path))?;
        opened.truncate(kept).map_err(JournalError::storage("truncate", &file.path))?;
        self.write_again(file, opened.as_ref(), 0..kept)?;
        opened.sync_data().map_err(JournalError::storage("sync", &file.path))?;
        Ok(kept)
    }

    fn write_again(&self, file: &Found, opened: &dyn StoredFile, bytes: Range<u64>) -> Result<(), JournalError> {
        let mut buffer = vec![0; READ_BYTES];
        let mut position = bytes.start;
        while position < bytes.end {
            let left = usize::try_from(bytes.end.saturating_sub(position)).unwrap_or(usize::MAX);
            let place = buffer.get_mut(..left.min(READ_BYTES)).unwrap_or_default();
            let count = opened.read_at(place, position).map_err(JournalError::storage("read", &file.path))?;
            let chunk = place.get(..count).unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            opened.write_at(chunk, position).map_err(JournalError::storage("write", &file.path))?;
            position = position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        Ok(())
    }

    fn set_aside(&self, file: &Found, damage: &Damage, walk: &mut Walk, recovery: &mut Recovery) {
        let taken = self.quarantine.take(self.storage, self.meters, self.shard, &file.path, damage, walk);
        recovery.quarantined.extend(taken);
    }
}
