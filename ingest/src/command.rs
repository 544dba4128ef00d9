//! What other threads ask of a shard: bounded queues and a wake-up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam::queue::ArrayQueue;
use millrace_model::door::{Full, Submission, Submitted, ToDevice};

use crate::close::CloseReason;
use crate::connection::{Connection, ConnectionKey};
use crate::introduction::Introduction;
use crate::limits::{COMMANDS_MAX, SUBMISSIONS_MAX, TOLD_MAX};

/// Asked of a shard.
pub(crate) enum Command {
    /// Take over a connection whose device lives here, and judge its CONNECT.
    Adopt(Box<Moved>),
    /// Take over a connection of another door.
    Enter(Box<Handed>),
    /// End the session of an identity; with no module, of the device and all its modules.
    End { device_id: Box<str>, module_id: Option<Box<str>>, reason: CloseReason },
    /// Take no more connections.
    StopAccepting,
    /// Acknowledge what was read, for as long as `deadline` allows, say goodbye, and stop.
    Drain { deadline: Instant },
}

/// A connection on its way to the shard that judges its CONNECT.
pub(crate) struct Moved {
    pub(crate) connection: Connection,
    pub(crate) introduction: Introduction,
}

/// A connection of another door.
pub(crate) struct Handed {
    pub(crate) stream: mio::net::UnixStream,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) certificates: Arc<[Vec<u8>]>,
}

/// Whom a submission tells what became of it, exactly once: dropped, it says that the message was not taken.
pub(crate) struct Done(Option<Submitted>);

impl Done {
    pub(crate) fn new(submitted: Submitted) -> Self {
        Self(Some(submitted))
    }

    /// The message is safe.
    pub(crate) fn safe(mut self) {
        if let Some(submitted) = self.0.take() {
            submitted(Ok(()));
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(submitted) = self.0.take() {
            submitted(Err(Full));
        }
    }
}

/// The sending side, shared.
#[derive(Clone)]
pub(crate) struct Commands(Arc<Queues>);

struct Queues {
    commands: ArrayQueue<Command>,
    told: ArrayQueue<(ConnectionKey, ToDevice)>,
    submissions: ArrayQueue<(Submission, Done)>,
    waker: Arc<mio::Waker>,
    /// The shard was woken and has not looked yet: one wake-up is enough for all that comes meanwhile.
    is_woken: AtomicBool,
    has_ended: AtomicBool,
}

impl Commands {
    pub(crate) fn new(waker: Arc<mio::Waker>) -> Self {
        Self(Arc::new(Queues {
            commands: ArrayQueue::new(COMMANDS_MAX),
            told: ArrayQueue::new(TOLD_MAX),
            submissions: ArrayQueue::new(SUBMISSIONS_MAX),
            waker,
            is_woken: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }))
    }

    /// Queues a command; gives it back when the queue is full. A shard that has ended has nothing left to do, and takes any.
    pub(crate) fn send(&self, command: Command) -> Result<(), Command> {
        if self.has_ended() {
            return Ok(());
        }
        self.0.commands.push(command)?;
        self.handed_over();
        Ok(())
    }

    /// Queues something for a session.
    pub(crate) fn tell(&self, key: ConnectionKey, what: ToDevice) -> Result<(), Full> {
        if self.has_ended() {
            return Ok(());
        }
        self.0.told.push((key, what)).map_err(|_| Full)?;
        self.handed_over();
        Ok(())
    }

    /// Queues a message; a queue that is full drops it, which says so.
    pub(crate) fn submit(&self, submission: Submission, done: Done) {
        if !self.has_ended() && self.0.submissions.push((submission, done)).is_ok() {
            self.handed_over();
        }
    }

    pub(crate) fn take(&self) -> Option<Command> {
        self.0.commands.pop()
    }

    pub(crate) fn take_told(&self) -> Option<(ConnectionKey, ToDevice)> {
        self.0.told.pop()
    }

    pub(crate) fn take_submission(&self) -> Option<(Submission, Done)> {
        self.0.submissions.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.commands.is_empty() && self.0.told.is_empty() && self.0.submissions.is_empty()
    }

    /// The shard is about to look: what comes from now on wakes it again.
    pub(crate) fn looking(&self) {
        self.0.is_woken.store(false, Ordering::SeqCst);
    }

    /// The shard's loop is over, whatever ended it.
    pub(crate) fn end(&self) {
        self.0.has_ended.store(true, Ordering::SeqCst);
        self.clear();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.has_ended.load(Ordering::SeqCst)
    }

    /// Makes the shard look at its queues, its journal and its blocked work.
    pub(crate) fn wake(&self) {
        if let Err(error) = self.0.waker.wake() {
            tracing::error!(%error, "cannot wake a shard");
        }
    }

    fn handed_over(&self) {
        if !self.0.is_woken.swap(true, Ordering::SeqCst) {
            self.wake();
        }
        // It may have ended between the first look and the push: nobody else would drop what lies there.
        if self.has_ended() {
            self.clear();
        }
    }

    /// Drops what lies here: it would keep its sockets open and its submitters waiting.
    fn clear(&self) {
        while self.take().is_some() {}
        while self.take_told().is_some() {}
        while self.take_submission().is_some() {}
    }
}
