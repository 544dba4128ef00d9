//! One shard: the turn that everything on the road of a message happens in.
//! - Shape: a nested epoll set (`mio`) whose descriptor one tokio task awaits. Turn: what became ready -> commands ->
//!   acknowledgements that have become safe -> accept -> read, decode, append -> seal -> deadlines.
//! - Invariants: a connection stands in `ready` at most once. Nothing is read while the journal takes no more.
//! - Hot path: [`Shard::turn`]: no await, no lock, no allocation once buffers have grown.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hashbrown::HashTable;
use millrace_journal::Journal;
use millrace_model::Watermark;
use mio::Token;
use mio::event::Event;
use rustls::ServerConfig;
use slab::Slab;
use tokio::io::unix::AsyncFd;
use tokio::time::MissedTickBehavior;

use crate::command::{Commands, Done};
use crate::config::IngestConfig;
use crate::connection::{Connection, ConnectionKey};
use crate::desk::Desk;
use crate::limits::{EVENTS_PER_TURN, LOG_LINES_PER_SECOND, TICK};
use crate::listen::ShardListener;
use crate::pace::{Moved, Pace};
use crate::quota::{DayCount, Quotas};
use crate::server::StatusCells;
use crate::wheel::Wheel;

/// The epoll token of the shard's own wake-up.
pub(crate) const WAKE: Token = Token(usize::MAX);

/// The epoll token of a connection: generation and slot.
#[expect(clippy::as_conversions, reason = "two u32 in one 64-bit usize; mio's epoll needs 64 bits anyway")]
pub(crate) const fn token(key: ConnectionKey) -> Token {
    Token(((key.generation as usize) << 32) | key.slot as usize)
}

#[expect(clippy::as_conversions, reason = "takes apart what token() put together")]
const fn key(token: Token) -> ConnectionKey {
    ConnectionKey { slot: token.0 as u32, generation: (token.0 >> 32) as u32 }
}

/// See the module's documentation.
pub(crate) struct Shard {
    pub(crate) desk: Desk,
    pub(crate) registry: mio::Registry,
    pub(crate) listeners: Vec<ShardListener>,
    pub(crate) connections: Slab<Connection>,
    /// Which connection an identity has, by the hash of its ids.
    pub(crate) by_owner: HashTable<ConnectionKey>,
    pub(crate) hasher: hashbrown::DefaultHashBuilder,
    /// Connections that have something to be read.
    pub(crate) ready: VecDeque<ConnectionKey>,
    pub(crate) wheel: Wheel,
    pub(crate) commands: Commands,
    /// All shards by number, this one too: a device's connections all live on the shard that its id names.
    pub(crate) peers: Arc<[Commands]>,
    pub(crate) tls: Option<Arc<ArcSwap<ServerConfig>>>,
    pub(crate) journal: Journal,
    pub(crate) kafka: Option<Arc<Watermark>>,
    /// Who waits for messages of other doors to be safe.
    pub(crate) submitted: Slab<Done>,
    pub(crate) quotas: Quotas,
    pub(crate) day: Arc<DayCount>,
    pub(crate) status: Arc<StatusCells>,
    pub(crate) generation: u32,
    pub(crate) accept_rests: bool,
    pub(crate) was_blocked: bool,
    pub(crate) drain_until: Option<Instant>,
    pub(crate) turn_acks: usize,
    pub(crate) buffers: Buffers,
    /// The second that per-second limits count in.
    pub(crate) second: u32,
}

/// Buffers that all connections of the shard share.
pub(crate) struct Buffers {
    /// What was read from the socket, behind what the connection had kept.
    pub(crate) read: Vec<u8>,
    /// What TLS made of it.
    pub(crate) plain: Vec<u8>,
    /// Replies.
    pub(crate) out: Vec<u8>,
    /// Replies as TLS records.
    pub(crate) wire: Vec<u8>,
}

impl Shard {
    /// Runs until drained.
    pub(crate) async fn run(mut self, poll: mio::Poll) -> io::Result<()> {
        let mut poll = watch(poll)?;
        let mut events = mio::Events::with_capacity(EVENTS_PER_TURN);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.listen()?;
        let mut pace = Pace::new(Instant::now());
        loop {
            let has_more = self.has_more();
            tokio::select! {
                biased;
                guard = poll.readable_mut() => {
                    let mut guard = guard?;
                    match guard.get_inner_mut().0.poll(&mut events, Some(Duration::ZERO)) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
                        result => result?,
                    }
                    if events.iter().nth(EVENTS_PER_TURN - 1).is_none() {
                        guard.clear_ready();
                    }
                }
                _ = tick.tick() => events.clear(),
                () = tokio::task::yield_now(), if has_more => events.clear(),
            }
            let start = Instant::now();
            let moved = self.turn(&events);
            if self.drain_until.is_some_and(|deadline| self.is_drained(deadline)) {
                return self.finish();
            }
            if let Some(next) = pace.after(start, moved) {
                pause_until(next);
            }
        }
    }

    /// Whether there is work that no socket will announce.
    fn has_more(&mut self) -> bool {
        let accepts = self.drain_until.is_none()
            && !self.accept_rests
            && self.listeners.iter().any(|listener| listener.is_pending);
        let reads = !self.ready.is_empty() && !self.quotas.shard_rests(self.desk.clock.nanoseconds());
        accepts || !self.commands.is_empty() || (reads && self.desk.can_read())
    }

    /// One round of everything; answers what it moved.
    fn turn(&mut self, events: &mio::Events) -> Moved {
        self.begin_turn();
        for event in events {
            self.note(event);
        }
        self.obey();
        self.acknowledge();
        if self.drain_until.is_none() {
            self.accept();
            self.wake_rested();
            self.read_ready();
        }
        self.desk.seal();
        self.acknowledge_memory();
        self.expire();
        self.end_turn()
    }

    fn begin_turn(&mut self) {
        self.desk.clock.turn();
        let second = self.desk.clock.seconds();
        if self.second != second {
            self.second = second;
            self.desk.lines_left = LOG_LINES_PER_SECOND;
            self.desk.connects_left = connects_per_second(&self.desk.config);
            self.desk.is_used_up = self.day.is_used_up(self.desk.clock.day());
            if std::mem::take(&mut self.accept_rests) {
                self.listeners.iter_mut().for_each(|listener| listener.is_pending = true);
            }
        }
    }

    fn end_turn(&mut self) -> Moved {
        let messages = std::mem::take(&mut self.desk.turn_messages);
        let acks = std::mem::take(&mut self.turn_acks);
        let bytes = std::mem::take(&mut self.desk.turn_bytes);
        let metrics = &self.desk.metrics;
        self.quotas.charge_shard(messages, self.desk.clock.nanoseconds());
        if messages > 0 && self.day.add(self.desk.clock.day(), messages) {
            self.desk.is_used_up = true;
        }
        metrics.messages.increment(u64::try_from(messages).unwrap_or(0));
        metrics.bytes.increment(u64::try_from(bytes).unwrap_or(0));
        metrics.acknowledged.increment(u64::try_from(acks).unwrap_or(0));
        let is_blocked = self.desk.is_blocked();
        if is_blocked && !self.was_blocked {
            crate::events::reading_stopped(self.desk.shard.0);
        }
        self.was_blocked = is_blocked;
        self.status.turned(self.connections.len(), is_blocked);
        let submitted = std::mem::take(&mut self.desk.turn_submitted);
        let settled = std::mem::take(&mut self.desk.turn_settled);
        Moved { messages: messages.saturating_sub(submitted), acknowledgements: acks.saturating_sub(settled) }
    }

    fn note(&mut self, event: &Event) {
        if event.token() == WAKE {
            return;
        }
        if let Some(listener) = self.listeners.get_mut(usize::MAX - 1 - event.token().0) {
            listener.is_pending = true;
            return;
        }
        let key = key(event.token());
        let Some(connection) = self.connection(key) else {
            return;
        };
        connection.is_lost |= event.is_read_closed() || event.is_error();
        if event.is_writable() && !connection.outbox.is_empty() {
            self.flush(key);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.queue(key);
        }
    }

    /// The connection of that name, if it still lives.
    pub(crate) fn connection(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        let slot = usize::try_from(key.slot).ok()?;
        self.connections.get_mut(slot).filter(|connection| connection.generation == key.generation)
    }

    /// Enters a connection into the list of those to be read, once.
    pub(crate) fn queue(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connection(key)
            && !std::mem::replace(&mut connection.is_queued, true)
        {
            self.ready.push_back(key);
        }
    }
}

/// New sessions that a shard may let in within a second.
fn connects_per_second(config: &IngestConfig) -> u32 {
    let share = config.quotas.hub_connects_per_second.div_ceil(u32::from(config.shards.max(1)));
    [config.connect_rate_max, share].into_iter().filter(|&rate| rate > 0).min().unwrap_or(u32::MAX)
}

/// Sleeps the rest of a short interval. It holds up everything on this thread, by design: the next turn finds more to do.
fn pause_until(moment: Instant) {
    let rest = moment.saturating_duration_since(Instant::now());
    if !rest.is_zero() {
        std::thread::sleep(rest);
    }
}

#[expect(unsafe_code, reason = "tokio has no safe way to watch a descriptor that is not its own socket")]
fn watch(poll: mio::Poll) -> io::Result<AsyncFd<PollFd>> {
    // SAFETY: `PollFd` owns an open epoll descriptor, always answers the same one, and closes it only when dropped.
    unsafe { AsyncFd::register_with_interest(PollFd(poll), tokio::io::Interest::READABLE) }.map_err(Into::into)
}

/// Lets tokio watch mio's epoll descriptor.
struct PollFd(mio::Poll);

impl std::os::fd::AsRawFd for PollFd {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}
