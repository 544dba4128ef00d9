//! Deletes from the journals what every sink has behind it.
//! - Invariants: goes by cursors that are on disk, never by what a sink merely says; a crash between the two would need the messages
//!   again. Without a sink nothing is deleted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use millrace_journal::Journal;
use millrace_model::{Offset, Watermark};

use crate::driver::DriverHandle;

const INTERVAL: Duration = Duration::from_secs(1);

/// A thread that trims once a second until it is dropped.
#[derive(Debug)]
pub struct Trimmer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Trimmer {
    /// Starts it for the journals (in the order of their shards) and all drivers that read them.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(journals: Vec<Journal>, drivers: &[DriverHandle]) -> io::Result<Self> {
        let cursors: Vec<Vec<_>> = drivers.iter().map(|driver| driver.stored().to_vec()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("trimmer".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                trim(&journals, &cursors);
                std::thread::park_timeout(INTERVAL);
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Trimmer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

fn trim(journals: &[Journal], cursors: &[Vec<Arc<Watermark>>]) {
    for (shard, journal) in journals.iter().enumerate() {
        // A driver that knows no such shard holds everything.
        let offsets = cursors.iter().map(|driver| driver.get(shard).map_or(Offset(0), |cursor| cursor.offset()));
        if let Some(lowest) = offsets.min() {
            journal.trim(lowest);
        }
    }
}
