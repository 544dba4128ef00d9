//! The engine: threads that own connections and keep their schedules.
//! - Shape: settings (shared, constant) -> worker (thread, event loop) -> connection (state machine over a transport).
//! - Invariants: nothing is locked and nothing allocated per message; threads tell each other nothing but one tally a second.
//! - Not here: what becomes of the tallies (`report`), several processes (`conductor`).

pub(crate) mod bodies;
pub(crate) mod connection;
pub(crate) mod fleet;
pub(crate) mod packets;
pub(crate) mod replay;
pub(crate) mod schedule;
pub(crate) mod settings;
pub(crate) mod source;
pub(crate) mod template;
pub(crate) mod timer;
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod worker;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use anyhow::Result;

use crate::engine::settings::Settings;
use crate::engine::worker::Worker;
use crate::report::Tally;

/// What threads and processes tell their conductor.
#[derive(Debug)]
pub(crate) enum Notice {
    /// One more thread (or process) has all its connections open, or has given up on some.
    Ramped,
    /// A thread has entered a phase.
    Entered(usize),
    /// A second is over.
    Tally(Box<Tally>),
    /// One more thread (or process) is done; with the reason if it failed.
    Done(Option<String>),
}

/// Starts the threads of a process. Each sends `Ramped` once, tallies, and `Done` at the end.
///
/// # Errors
/// A thread or its event loop can't be made.
pub(crate) fn start(settings: &Arc<Settings>, notices: &SyncSender<Notice>) -> Result<Vec<JoinHandle<()>>> {
    let threads = settings.plan.threads.max(1);
    let mut handles = Vec::new();
    for thread in 0..threads {
        let worker = Worker::new(Arc::clone(settings), thread, notices.clone())?;
        let builder = std::thread::Builder::new().name(format!("load-{thread}"));
        handles.push(builder.spawn(move || worker.run())?);
    }
    Ok(handles)
}
