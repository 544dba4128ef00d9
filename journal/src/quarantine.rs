//! Damaged parts of segments: reported once, and copied to `quarantine/` beside the segments for whoever wants to repair them.
//! - Limits: [`QUARANTINE_BYTES_MAX`] in all since the journal was opened; what is beyond is reported, not copied.
//! - Errors: none; a copy that cannot be made is left out of the report.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use millrace_model::{Offset, ShardId};

use crate::events::{Damaged, Meters};
use crate::limits::{QUARANTINE_BYTES_MAX, QUARANTINE_PLACES_MAX, READ_BYTES};
use crate::storage::Storage;
use crate::walk::{Damage, Walk};

/// A part of the journal that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The segment.
    pub file: PathBuf,
    /// Which of its bytes.
    pub bytes: Range<u64>,
    /// The messages that are missing; empty when none are.
    pub offsets: Range<Offset>,
    /// Where the bytes were copied to.
    pub copy: Option<PathBuf>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Segment and first byte of what was reported.
    places: BTreeSet<(PathBuf, u64, Offset)>,
    copied_bytes: u64,
}

impl Quarantine {
    /// Reports and copies a damaged range, unless that was done before.
    pub(crate) fn take(
        &self,
        storage: &dyn Storage,
        meters: &Meters,
        shard: ShardId,
        file: &Path,
        damage: &Damage,
        walk: &mut Walk,
    ) -> Option<Quarantined> {
        let bytes = damage.bytes.end.saturating_sub(damage.bytes.start);
        let copy_wanted = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let place = (file.to_path_buf(), damage.bytes.start, damage.offsets.start);
            if known.places.contains(&place) {
                return None;
            }
            if known.places.len() < QUARANTINE_PLACES_MAX {
                known.places.insert(place);
            }
            let total = known.copied_bytes.saturating_add(bytes);
            let wanted = bytes > 0 && total <= QUARANTINE_BYTES_MAX;
            if wanted {
                known.copied_bytes = total;
            }
            wanted
        };
        let copy = copy_wanted.then(|| copy(storage, file, damage, walk).ok()).flatten();
        let offsets = damage.offsets.clone();
        Damaged { shard, file, bytes: &damage.bytes, offsets: &offsets, copy: copy.as_deref() }.emit(meters);
        Some(Quarantined { file: file.to_path_buf(), bytes: damage.bytes.clone(), offsets, copy })
    }
}

fn copy(storage: &dyn Storage, file: &Path, damage: &Damage, walk: &mut Walk) -> io::Result<PathBuf> {
    let directory = file.with_file_name("quarantine");
    storage.create_directory(&directory)?;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let path = directory.join(format!("{stem}-{}-{}.damaged", damage.bytes.start, damage.bytes.end));
    let target = storage.create(&path, 0)?;
    let mut position = damage.bytes.start;
    while position < damage.bytes.end {
        let left = usize::try_from(damage.bytes.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let chunk = walk.bytes(position, left.min(READ_BYTES))?;
        if chunk.is_empty() {
            break;
        }
        target.write_at(chunk, position.saturating_sub(damage.bytes.start))?;
        position = position.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
    }
    target.sync_data()?;
    Ok(path)
}
