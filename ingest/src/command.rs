//! What other threads ask of a shard: a bounded queue and a wake-up.

use std::sync::Arc;
use std::time::Instant;

use crossbeam::queue::ArrayQueue;

use crate::close::CloseReason;
use crate::limits::COMMANDS_MAX;

/// Asked of a shard.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// End the session of an identity; with no module, of the device and all its modules.
    End { device_id: Box<str>, module_id: Option<Box<str>>, reason: CloseReason },
    /// The identity has connected elsewhere as number `sequence`: end an older session.
    TakeOver { device_id: Box<str>, module_id: Option<Box<str>>, sequence: u64 },
    /// Take no more connections.
    StopAccepting,
    /// Acknowledge what was read, for as long as `deadline` allows, say goodbye, and stop.
    Drain { deadline: Instant },
}

/// The sending side, shared.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    queue: Arc<ArrayQueue<Command>>,
    waker: Arc<mio::Waker>,
}

impl Commands {
    pub(crate) fn new(waker: Arc<mio::Waker>) -> Self {
        Self { queue: Arc::new(ArrayQueue::new(COMMANDS_MAX)), waker }
    }

    /// Queues a command; gives it back when the queue is full.
    pub(crate) fn send(&self, command: Command) -> Result<(), Command> {
        self.queue.push(command)?;
        self.wake();
        Ok(())
    }

    pub(crate) fn take(&self) -> Option<Command> {
        self.queue.pop()
    }

    /// Makes the shard look at its queue, its journal and its blocked work.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a shard");
        }
    }
}
