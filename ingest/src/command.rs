//! What other threads ask of a shard: a bounded queue and a wake-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam::queue::ArrayQueue;

use crate::admission::Admitted;
use crate::close::CloseReason;
use crate::connection::Connection;
use crate::limits::COMMANDS_MAX;

/// Asked of a shard.
pub(crate) enum Command {
    /// Take over a connection whose device lives here, and answer its CONNECT.
    Adopt(Box<Moved>),
    /// End the session of an identity; with no module, of the device and all its modules.
    End { device_id: Box<str>, module_id: Option<Box<str>>, reason: CloseReason },
    /// Take no more connections.
    StopAccepting,
    /// Acknowledge what was read, for as long as `deadline` allows, say goodbye, and stop.
    Drain { deadline: Instant },
}

/// A connection on its way to another shard, after its CONNECT was judged.
pub(crate) struct Moved {
    pub(crate) connection: Connection,
    pub(crate) admitted: Admitted,
    pub(crate) keep_alive: u16,
}

/// The sending side, shared.
#[derive(Clone)]
pub(crate) struct Commands {
    queue: Arc<ArrayQueue<Command>>,
    waker: Arc<mio::Waker>,
    has_ended: Arc<AtomicBool>,
}

impl Commands {
    pub(crate) fn new(waker: Arc<mio::Waker>) -> Self {
        Self { queue: Arc::new(ArrayQueue::new(COMMANDS_MAX)), waker, has_ended: Arc::default() }
    }

    /// Queues a command; gives it back when the queue is full. A shard that has ended has nothing left to do, and takes any.
    pub(crate) fn send(&self, command: Command) -> Result<(), Command> {
        if self.has_ended() {
            return Ok(());
        }
        self.queue.push(command)?;
        self.wake();
        Ok(())
    }

    pub(crate) fn take(&self) -> Option<Command> {
        self.queue.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The shard's loop is over, whatever ended it.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        // What still lies here would keep its sockets open.
        while self.take().is_some() {}
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Makes the shard look at its queue, its journal and its blocked work.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a shard");
        }
    }
}
