//! One thread for each sink: pulls batches from the journals, asks the routes what of them the sink gets, hands it over, and
//! stores how far the sink has come.
//! - Shape: `driver` (handle) and `driver/worker` (the thread) over a `driver/lane` for each shard; `driver/backoff` for pauses.
//! - Invariants: a sink gets every batch of a shard in order. Its cursor on disk never lies beyond what it called safe. A sink
//!   that waits holds up nobody else: batches stay in the journal.
//! - Limits: one batch for each shard in hand; nothing is queued.
//! - Errors: a sink's error is a state of its driver ([`DriverState`]), never the end of the program.

mod backoff;
mod lane;
mod worker;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use millrace_journal::Journal;
use millrace_model::watermark::Listener;
use millrace_model::{Classify, Fault, Kind, ShardId, Sink, Watermark};

use crate::cursor::CursorError;
use crate::routes::Routes;
use lane::Lane;
use worker::Worker;

/// When a driver looks for new batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// As soon as they are durable, through [`DriverHandle::listener`].
    EachSync,
    /// This long after it found none; larger steps for sinks that like them.
    Every(Duration),
}

/// How to drive a sink.
#[derive(Debug, Clone)]
pub struct DriverConfig {
    /// Data directory; cursors go to `cursors` in it.
    pub directory: PathBuf,
    /// When to look for new batches.
    pub wake: Wake,
}

/// How a driver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverState {
    /// Delivers, or has nothing to deliver.
    Running,
    /// Its sink, the dead-letter store or the journal does not answer; it tries again.
    Waiting {
        /// When the trouble began.
        since: Instant,
        /// What was answered last.
        reason: String,
    },
    /// Its sink can never go on.
    Broken {
        /// What was answered.
        reason: String,
    },
    /// Ended by [`DriverHandle::drain`].
    Drained,
}

/// A driver cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A cursor cannot be used.
    #[error("the driver of sink '{sink}' cannot use its cursor")]
    Cursor {
        /// Name of the sink.
        sink: String,
        /// Why.
        #[source]
        source: CursorError,
    },
    /// The thread cannot be started.
    #[error("the thread of sink '{sink}' cannot be started")]
    Thread {
        /// Name of the sink.
        sink: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// How a driver ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// Name of the sink.
    pub name: String,
    /// Messages that stay in the journals for the next start.
    pub left: u64,
    /// Why there are any, or why the sink could not complete what it had.
    pub reason: Option<String>,
}

/// A running driver.
#[derive(Debug)]
pub struct DriverHandle {
    name: String,
    shared: Arc<Shared>,
    safe: Vec<Arc<Watermark>>,
    stored: Vec<Arc<Watermark>>,
    durable: Vec<Arc<Watermark>>,
    thread: Option<JoinHandle<Option<String>>>,
}

/// What handle and thread tell each other.
#[derive(Debug)]
struct Shared {
    state: Mutex<DriverState>,
    /// Set once, by the handle.
    drain_until: Mutex<Option<Instant>>,
    drains: AtomicBool,
}

/// Starts the thread `sink-NAME`. `journals` are those of all shards, in the order of their numbers.
///
/// # Errors
/// When a cursor cannot be read, or the thread not be started.
pub fn start(
    name: &str,
    sink: Box<dyn Sink>,
    journals: Vec<Journal>,
    routes: Arc<Routes>,
    config: &DriverConfig,
) -> Result<DriverHandle, DriverError> {
    let durable: Vec<_> = journals.iter().map(|journal| Arc::clone(journal.durable())).collect();
    let lanes = (0..=u16::MAX)
        .zip(journals)
        .map(|(shard, journal)| Lane::new(&config.directory, name, ShardId(shard), journal));
    let lanes = lanes.collect::<Result<Vec<_>, _>>();
    let lanes = lanes.map_err(|source| DriverError::Cursor { sink: name.to_owned(), source })?;
    let safe = lanes.iter().map(|lane| Arc::clone(&lane.safe)).collect();
    let stored = lanes.iter().map(|lane| Arc::clone(&lane.stored)).collect();
    let shared = Arc::new(Shared {
        state: Mutex::new(DriverState::Running),
        drain_until: Mutex::new(None),
        drains: AtomicBool::new(false),
    });
    let worker = Worker::new(name.to_owned(), sink, lanes, routes, config.wake, Arc::clone(&shared));
    let thread = std::thread::Builder::new()
        .name(format!("sink-{name}"))
        .spawn(move || worker.run())
        .map_err(|source| DriverError::Thread { sink: name.to_owned(), source })?;
    Ok(DriverHandle { name: name.to_owned(), shared, safe, stored, durable, thread: Some(thread) })
}

impl DriverHandle {
    /// Name of the sink.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> DriverState {
        // Asked first: a thread that ends in order says so before it ends.
        let ended = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        match self.shared.state() {
            DriverState::Running | DriverState::Waiting { .. } if ended => {
                DriverState::Broken { reason: "its thread ended by a panic".to_owned() }
            }
            state => state,
        }
    }

    /// For each shard, how many durable messages are not yet safe at the sink's target (or not meant for it).
    #[must_use]
    pub fn lag(&self) -> Vec<u64> {
        let behind =
            |(durable, safe): (&Arc<Watermark>, &Arc<Watermark>)| durable.offset().0.saturating_sub(safe.offset().0);
        self.durable.iter().zip(&self.safe).map(behind).collect()
    }

    /// For each shard, below which offset everything is safe at the sink's target.
    #[must_use]
    pub fn safe(&self) -> &[Arc<Watermark>] {
        &self.safe
    }

    /// For each shard, the cursor on disk: below it nothing is ever delivered to this sink again.
    #[must_use]
    pub fn stored(&self) -> &[Arc<Watermark>] {
        &self.stored
    }

    /// To be called when something became durable (see [`Watermark::listen`]): wakes the thread. For [`Wake::EachSync`].
    #[must_use]
    pub fn listener(&self) -> Listener {
        let thread: Option<Thread> = self.thread.as_ref().map(|thread| thread.thread().clone());
        Box::new(move |_| {
            if let Some(thread) = &thread {
                thread.unpark();
            }
        })
    }

    /// Asks it to end: it delivers what is durable now, completes what is open, and stops, all before `deadline`. Returns at
    /// once, so that several drivers can drain together.
    pub fn begin_drain(&self, deadline: Instant) {
        self.shared.drain_until.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(deadline);
        self.shared.drains.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// As [`Self::begin_drain`], and waits for the end.
    #[must_use]
    pub fn drain(mut self, deadline: Instant) -> Drained {
        self.begin_drain(deadline);
        self.join()
    }

    fn join(&mut self) -> Drained {
        let reason = self
            .thread
            .take()
            .and_then(|thread| thread.join().unwrap_or_else(|_| Some("its thread ended by a panic".to_owned())));
        let left = self.lag().iter().sum();
        Drained { name: self.name.clone(), left, reason }
    }
}

impl Drop for DriverHandle {
    /// Ends the thread as soon as its sink lets it; what was not delivered stays in the journal.
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.begin_drain(Instant::now());
            drop(self.join());
        }
    }
}

impl Shared {
    fn state(&self) -> DriverState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: DriverState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn drain_until(&self) -> Option<Instant> {
        if !self.drains.load(Ordering::Acquire) {
            return None;
        }
        *self.drain_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Classify for DriverError {
    fn kind(&self) -> Kind {
        match self {
            Self::Cursor { source, .. } => source.kind(),
            Self::Thread { .. } => Kind::Unavailable,
        }
    }

    fn fault(&self) -> Fault {
        Fault::Operator
    }
}
