//! The way out: every durable batch in order, from memory where it is recent and from disk where it is not.
//! - Invariants: gives only what is durable. Skips only what is damaged, and reports that range.
//! - Limits: memory for one record; at most one open file.
//! - Errors: those of the file system; the position stays, so the next call tries again.

use std::sync::Arc;

use millrace_model::{Batch, Offset};

use crate::encode;
use crate::error::JournalError;
use crate::segments::Place;
use crate::shared::Shared;
use crate::storage::Access;
use crate::walk::{Damage, Step, Walk};

/// Reads one shard's journal; as many as there are sinks.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    position: Offset,
    open: Option<Open>,
}

/// A segment being read.
#[derive(Debug)]
struct Open {
    place: Place,
    walk: Walk,
}

impl Reader {
    pub(crate) const fn new(shared: Arc<Shared>, position: Offset) -> Self {
        Self { shared, position, open: None }
    }

    /// The next batch that is durable as a whole; `None` when there is nothing new. When the position lies inside a batch,
    /// gives all of that batch. A position older than the journal moves to its oldest message.
    ///
    /// # Errors
    /// When the disk cannot be read. The position stays.
    #[expect(clippy::should_implement_trait, reason = "an iterator that gave None would be taken for finished")]
    pub fn next(&mut self) -> Result<Option<Arc<Batch>>, JournalError> {
        loop {
            // Looked at before the segments: what is durable now lies in a segment that is known by then.
            let durable = self.shared.durable.offset();
            if self.position >= durable {
                return Ok(None);
            }
            if let Some(batch) = self.shared.recent.find(self.position) {
                self.open = None;
                self.position = batch.end();
                return Ok(Some(batch));
            }
            let Some(place) = self.shared.segments.find(self.position) else {
                match self.shared.segments.oldest() {
                    Some(oldest) if oldest > self.position => self.position = oldest,
                    _ => return Ok(None),
                }
                continue;
            };
            if let Some(batch) = self.read(place, durable)? {
                self.position = batch.end();
                return Ok(Some(batch));
            }
        }
    }

    /// Offset of the next message that will be given.
    #[must_use]
    pub const fn position(&self) -> Offset {
        self.position
    }

    /// Goes on from `offset`, forwards or backwards.
    pub fn seek(&mut self, offset: Offset) {
        self.position = offset;
        self.open = None;
    }

    /// The batch at the position, from disk; `None` when the position moved instead.
    fn read(&mut self, place: Place, durable: Offset) -> Result<Option<Arc<Batch>>, JournalError> {
        let shared = Arc::clone(&self.shared);
        let path = place.segment.path.clone();
        let failed = |source| JournalError::storage("read", &path)(source);
        let mut open = match self.open.take() {
            Some(open) if open.place.segment.id == place.segment.id && open.walk.next <= self.position => open,
            _ => {
                let file = match shared.storage.open(&path, Access::Read) {
                    // Trimmed since it was looked up: the caller looks again.
                    Err(_) if shared.segments.find(self.position).as_ref() != Some(&place) => return Ok(None),
                    other => other.map_err(JournalError::storage("open", &path))?,
                };
                Open { walk: Walk::new(file, place.segment.base, None).map_err(failed)?, place: place.clone() }
            }
        };
        open.walk.until = place.until;
        // The next segment may have begun since; then what this one holds there does not count.
        let end = place.until.unwrap_or(durable).min(durable);
        while open.walk.next < end {
            match open.walk.step().map_err(failed)? {
                Step::Record(header, _) if header.end() <= self.position => {}
                Step::Record(header, position) => {
                    let payload = open.walk.payload(&header, position).map_err(failed)?;
                    shared.meters.read_bytes.increment(u64::from(header.length));
                    match encode::decode(shared.shard, &header, payload) {
                        Ok(batch) => {
                            self.open = Some(open);
                            return Ok(Some(batch));
                        }
                        Err(_) => {
                            let bytes = position..position.saturating_add(header.record_bytes());
                            self.skip(&mut open, &Damage { bytes, offsets: header.base..header.end() });
                        }
                    }
                }
                Step::Damage(damage) => self.skip(&mut open, &damage),
                Step::End { dirty_until } => {
                    let bytes = open.walk.position..dirty_until.max(open.walk.position);
                    let damage = Damage { bytes, offsets: open.walk.next..end };
                    self.skip(&mut open, &damage);
                    open.walk.next = end;
                }
            }
        }
        self.position = self.position.max(end);
        self.open = Some(open);
        Ok(None)
    }

    /// Reports damage and moves past it.
    fn skip(&mut self, open: &mut Open, damage: &Damage) {
        if damage.offsets.end > self.position {
            self.position = damage.offsets.end;
        }
        if damage.offsets.is_empty() {
            return;
        }
        let shared = &self.shared;
        let file = &open.place.segment.path;
        let storage = shared.storage.as_ref();
        shared.quarantine.take(storage, &shared.meters, shared.shard, file, damage, &mut open.walk);
    }
}
