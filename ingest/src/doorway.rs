//! The way to the shards for other threads: made before they are started, because the control side needs it to start and they need the
//! control side.
//! - Invariants: handing over never blocks. What was handed over when a shard ends is dropped: sessions with it, and a submission is told
//!   that it was not taken.
//! - Limits: the queues of [`Commands`]; full ones refuse.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use millrace_model::door::{Doors, Full, Intake, SessionKey, Submission, Submitted, ToDevice};

use crate::command::{Command, Commands, Done, Handed};
use crate::connection::ConnectionKey;
use crate::serve::home;
use crate::shard::WAKE;

/// See the module's documentation. Clones are the same doorway.
#[derive(Clone)]
pub struct Doorway {
    shards: Arc<[Commands]>,
    /// Taken when the shards are started.
    polls: Arc<Mutex<Vec<mio::Poll>>>,
    /// Which shard the next connection of another door goes to.
    next: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Doorway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doorway").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl Doorway {
    /// A doorway to so many shards, which [`crate::Ingest::start`] starts.
    ///
    /// # Errors
    /// When an epoll set cannot be had.
    pub fn open(shards: u16) -> io::Result<Self> {
        let mut polls = Vec::with_capacity(usize::from(shards));
        let mut commands = Vec::with_capacity(usize::from(shards));
        for _ in 0..shards {
            let poll = mio::Poll::new()?;
            commands.push(Commands::new(Arc::new(mio::Waker::new(poll.registry(), WAKE)?)));
            polls.push(poll);
        }
        let polls = Arc::new(Mutex::new(polls));
        Ok(Self { shards: commands.into(), polls, next: Arc::default() })
    }

    /// Takes over a connection of another door, which carries plain MQTT. `certificates` is the chain that the client showed there,
    /// leaf first.
    ///
    /// # Errors
    /// When the shard takes no more connections.
    pub fn adopt(&self, stream: UnixStream, peer: Option<SocketAddr>, certificates: Arc<[Vec<u8>]>) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.shards.len().max(1);
        let shard = self.shards.get(number).ok_or(io::ErrorKind::NotConnected)?;
        let handed = Handed { stream: mio::net::UnixStream::from_std(stream), peer, certificates };
        shard.send(Command::Enter(Box::new(handed))).map_err(|_| io::ErrorKind::ResourceBusy.into())
    }

    pub(crate) fn shards(&self) -> &Arc<[Commands]> {
        &self.shards
    }

    /// The epoll sets, once.
    pub(crate) fn take_polls(&self) -> Vec<mio::Poll> {
        std::mem::take(&mut *self.polls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Doors for Doorway {
    fn tell(&self, session: SessionKey, what: ToDevice) -> Result<(), Full> {
        let key = ConnectionKey { slot: session.slot, generation: session.generation };
        match self.shards.get(usize::from(session.shard)) {
            Some(shard) => shard.tell(key, what),
            // Nobody is there to hear it.
            None => Ok(()),
        }
    }
}

impl Intake for Doorway {
    fn submit(&self, submission: Submission, done: Submitted) {
        let done = Done::new(done);
        let shards = u16::try_from(self.shards.len()).unwrap_or(u16::MAX);
        let number = home(submission.identity.as_ref().device_id, shards);
        if let Some(shard) = self.shards.get(number) {
            shard.submit(submission, done);
        }
    }
}
