//! Looks at journals on disk and changes nothing, for `millrace journal inspect`.
//! - Limits: memory for one record; reads every byte of every segment.

use std::ops::Range;
use std::path::{Path, PathBuf};

use millrace_model::Offset;
use serde::Serialize;

use crate::error::JournalError;
use crate::segment::{RECORDS_START, base_of};
use crate::storage::disk::Disk;
use crate::storage::{Access, Storage};
use crate::walk::{Step, Walk};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// One entry for each shard's directory, in order of name.
    pub shards: Vec<ShardInspection>,
}

/// One shard's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardInspection {
    /// The directory.
    pub directory: PathBuf,
    /// Its segments, oldest first.
    pub segments: Vec<SegmentInspection>,
    /// Files that are not the journal's.
    pub strays: Vec<String>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentInspection {
    /// Name of the file.
    pub file: String,
    /// Format version; `None` when the header is damaged.
    pub version: Option<u32>,
    /// Offset of the first message, by the name.
    pub first_offset: u64,
    /// Offset after the last message.
    pub end_offset: u64,
    /// Intact records, each of one batch.
    pub records: u64,
    /// Messages in them.
    pub messages: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Up to where records reach.
    pub used_bytes: u64,
    /// What the records' contents take before compression.
    pub uncompressed_bytes: u64,
    /// Bytes behind the last record that are not zero: an unfinished end, or superseded by the next segment.
    pub tail_bytes: u64,
    /// What cannot be read.
    pub damage: Vec<DamageInspection>,
}

/// One damaged range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamageInspection {
    /// Which bytes of the file.
    pub bytes: Range<u64>,
    /// Which messages are missing for it; empty when none are.
    pub offsets: Range<u64>,
}

/// Inspects `directory`: that of one shard, or the one that holds the directories of all shards.
///
/// # Errors
/// When something cannot be read. Damage is a finding, not an error.
pub fn inspect(directory: &Path) -> Result<Inspection, JournalError> {
    let listed = Disk.list(directory).map_err(JournalError::storage("list", directory))?;
    let mut shards: Vec<PathBuf> = listed
        .iter()
        .filter(|entry| entry.name.starts_with("shard-"))
        .map(|entry| directory.join(&entry.name))
        .filter(|path| path.is_dir())
        .collect();
    shards.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    if shards.is_empty() {
        shards.push(directory.to_path_buf());
    }
    let shards = shards.into_iter().map(shard).collect::<Result<_, _>>()?;
    Ok(Inspection { shards })
}

fn shard(directory: PathBuf) -> Result<ShardInspection, JournalError> {
    let mut listed = Disk.list(&directory).map_err(JournalError::storage("list", &directory))?;
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    let found: Vec<(Offset, String)> =
        listed.iter().filter_map(|entry| Some((base_of(&entry.name)?, entry.name.clone()))).collect();
    let known = [crate::recovery::LOCK_FILE, crate::recovery::QUARANTINE_DIRECTORY];
    let strays = listed
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| base_of(name).is_none() && !known.contains(&name.as_str()))
        .collect();
    let mut segments = Vec::new();
    for (row, (base, name)) in found.iter().enumerate() {
        let until = found.get(row.saturating_add(1)).map(|(next, _)| *next);
        segments.push(segment(&directory, name, *base, until)?);
    }
    Ok(ShardInspection { directory, segments, strays })
}

fn segment(
    directory: &Path,
    name: &str,
    base: Offset,
    until: Option<Offset>,
) -> Result<SegmentInspection, JournalError> {
    let path = directory.join(name);
    let failed = |source| JournalError::storage("read", &path)(source);
    let file = Disk.open(&path, Access::Read).map_err(JournalError::storage("open", &path))?;
    let mut walk = Walk::new(file, base, until).map_err(failed)?;
    let file_bytes = walk.file_bytes().map_err(failed)?;
    let mut found = SegmentInspection {
        file: name.to_owned(),
        version: walk.header.map(|header| header.version),
        first_offset: base.0,
        end_offset: base.0,
        records: 0,
        messages: 0,
        file_bytes,
        used_bytes: 0,
        uncompressed_bytes: 0,
        tail_bytes: 0,
        damage: Vec::new(),
    };
    if !walk.is_header_intact {
        found.damage.push(DamageInspection { bytes: 0..RECORDS_START.min(file_bytes), offsets: base.0..base.0 });
    }
    loop {
        match walk.step().map_err(failed)? {
            Step::Record(header, _) => {
                found.records = found.records.saturating_add(1);
                found.messages = found.messages.saturating_add(u64::from(header.count));
                found.uncompressed_bytes = found.uncompressed_bytes.saturating_add(u64::from(header.raw_length));
            }
            Step::Damage(damage) => found
                .damage
                .push(DamageInspection { bytes: damage.bytes, offsets: damage.offsets.start.0..damage.offsets.end.0 }),
            Step::End { dirty_until } => {
                found.tail_bytes = dirty_until.saturating_sub(walk.position);
                break;
            }
        }
    }
    if let Some(until) = until.filter(|until| *until > walk.next) {
        let bytes = walk.position..walk.position.saturating_add(found.tail_bytes);
        found.damage.push(DamageInspection { bytes, offsets: walk.next.0..until.0 });
    }
    found.used_bytes = walk.position.min(file_bytes);
    found.end_offset = walk.next.0;
    Ok(found)
}
