//! The handle of one shard's journal: opens it, hands out its ends, closes it.
//! - Invariants: the writer's thread ends with the last handle, whether or not anybody called [`Journal::close`].

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use millrace_model::{Offset, ShardId, Watermark};

use crate::appender::{Appender, Queue};
use crate::config::JournalConfig;
use crate::error::JournalError;
use crate::events::Meters;
use crate::quarantine::Quarantine;
use crate::reader::Reader;
use crate::recent::Recent;
use crate::recovery::{LOCK_FILE, Recoverer, Recovery};
use crate::segment::shard_directory;
use crate::segments::Segments;
use crate::shared::{Health, Shared};
use crate::storage::Storage;
use crate::storage::disk::Disk;
use crate::writer::Writer;

/// The durable log of one shard. Cheap to clone; all clones are the same journal.
#[derive(Debug, Clone)]
pub struct Journal {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<Result<(), JournalError>>>>,
}

impl Journal {
    /// Recovers the journal in `directory/shard-N` (made if absent) and starts its writer.
    ///
    /// # Errors
    /// When another program has it open, when a segment is of a later version, or when the disk does not answer.
    pub fn open(shard: ShardId, directory: &Path, config: &JournalConfig) -> Result<(Self, Recovery), JournalError> {
        Self::open_from(shard, directory, config, Offset(0))
    }

    /// As [`Self::open`], but the next message gets at least the offset `floor`: the highest cursor of any sink. Should the
    /// disk have lost the newest messages, their offsets are then not given again to others, which sinks would take for done.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_from(
        shard: ShardId,
        directory: &Path,
        config: &JournalConfig,
        floor: Offset,
    ) -> Result<(Self, Recovery), JournalError> {
        let (shared, writer, recovery) = open_parts(Arc::new(Disk), shard, directory, config, floor)?;
        let thread = std::thread::Builder::new()
            .name(format!("journal-{shard}"))
            .spawn({
                let ended = Ended(Arc::clone(&shared));
                move || {
                    let _ended = ended;
                    writer.run()
                }
            })
            .map_err(|error| JournalError::Thread { what: format!("could not be started: {error}") })?;
        Ok((Self { running: Arc::new(Running { shared, writer: Mutex::new(Some(thread)) }) }, recovery))
    }

    /// The way in. Meant for one shard's thread.
    #[must_use]
    pub fn appender(&self) -> Appender {
        Appender::new(Arc::clone(&self.running.shared))
    }

    /// A way out that begins with the batch that holds `from`.
    #[must_use]
    pub fn reader(&self, from: Offset) -> Reader {
        Reader::new(Arc::clone(&self.running.shared), from)
    }

    /// Everything below has been handed to the operating system: it survives a crash of this program, not of the machine.
    #[must_use]
    pub fn written(&self) -> &Arc<Watermark> {
        &self.running.shared.written
    }

    /// Everything below is safe and may be acknowledged.
    #[must_use]
    pub fn durable(&self) -> &Arc<Watermark> {
        &self.running.shared.durable
    }

    /// The oldest offset that can still be read.
    #[must_use]
    pub fn oldest(&self) -> Offset {
        let shared = &self.running.shared;
        shared.segments.oldest().unwrap_or_else(|| shared.durable.offset())
    }

    /// The offset that the next message gets.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.running.shared.queue.next_offset()
    }

    /// Says that nobody needs what lies below; the writer deletes the segments that lie wholly below it, soon.
    pub fn trim(&self, below: Offset) {
        let shared = &self.running.shared;
        shared.trim_below.fetch_max(below.0, Ordering::AcqRel);
        if shared.segments.oldest_below(shared.trim_below()).is_some() {
            shared.queue.ask_trim();
        }
    }

    /// Whether it can write.
    #[must_use]
    pub fn health(&self) -> Health {
        self.running.shared.health()
    }

    /// Makes all that was appended durable and stops the writer. Other handles may go on reading.
    ///
    /// # Errors
    /// [`JournalError::CloseUnwritten`] when the disk refuses what waits; it was never acknowledged.
    pub fn close(self) -> Result<(), JournalError> {
        self.running.stop()
    }
}

impl Running {
    fn stop(&self) -> Result<(), JournalError> {
        self.shared.queue.close();
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        thread.map_or(Ok(()), |thread| {
            thread.join().unwrap_or_else(|_| Err(JournalError::Thread { what: "panicked".to_owned() }))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`; what was not written was not acknowledged.
        drop(self.stop());
    }
}

/// Turns health red when the writer's thread panics; otherwise the queue would fill without a reason given.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stall(Instant::now(), &JournalError::Thread { what: "panicked".to_owned() });
        }
    }
}

/// Everything but the thread.
pub(crate) fn open_parts(
    storage: Arc<dyn Storage>,
    shard: ShardId,
    directory: &Path,
    config: &JournalConfig,
    floor: Offset,
) -> Result<(Arc<Shared>, Writer, Recovery), JournalError> {
    let directory = shard_directory(directory, shard);
    storage.create_directory(&directory).map_err(JournalError::storage("create the directory", &directory))?;
    let lock = storage
        .lock(&directory.join(LOCK_FILE))
        .map_err(|source| JournalError::Locked { directory: directory.clone(), source })?;
    let (segments, quarantine, meters) = (Segments::default(), Quarantine::default(), Meters::new(shard));
    let recoverer = Recoverer {
        storage: storage.as_ref(),
        meters: &meters,
        quarantine: &quarantine,
        shard,
        directory: &directory,
        floor,
    };
    let recovery = recoverer.recover(&segments)?;
    let next = recovery.next;
    let shared = Arc::new(Shared {
        shard,
        directory,
        storage,
        queue: Queue::new(config.queue_batches, next),
        recent: Recent::new(config.recent_bytes),
        segments,
        written: Arc::new(Watermark::new(next)),
        durable: Arc::new(Watermark::new(next)),
        quarantine,
        meters,
        health: Mutex::new(Health::Healthy),
        trim_below: AtomicU64::new(0),
    });
    let writer = Writer::new(Arc::clone(&shared), config.clone(), lock);
    Ok((shared, writer, recovery))
}
