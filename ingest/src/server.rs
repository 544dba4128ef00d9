//! The ingest tier as the program sees it: start it, ask how it is, end sessions, drain it.
//! - Invariants: a shard's thread owns all its state; what is here reaches it through its command queue and atomics.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hashbrown::HashTable;
use millrace_journal::Journal;
use millrace_model::door::{Control, Provisioning};
use millrace_model::{BatchBuilder, ShardId, Watermark};
use millrace_protocols_mqtt::Limits;
use rustls::ServerConfig;
use slab::Slab;

use crate::acks::Acks;
use crate::clock::Clock;
use crate::close::CloseReason;
use crate::command::{Command, Commands};
use crate::config::IngestConfig;
use crate::connection_events::Sequence;
use crate::desk::Desk;
use crate::directory::Directory;
use crate::doorway::Doorway;
use crate::events::{self, ShardMetrics};
use crate::limits::{CARRY_BYTES_MAX, READ_BYTES};
use crate::listen::{Listeners, ShardListener};
use crate::quota::{DayCount, Quotas};
use crate::serve::home;
use crate::shard::{Buffers, Shard};
use crate::wheel::Wheel;

/// What the ingest tier needs from the others.
pub struct Wiring {
    /// Who may connect.
    pub directory: Arc<dyn Directory>,
    /// Certificate and settings of the TLS listeners; exchanged at run time.
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
    /// One journal for each shard, in order.
    pub journals: Vec<Journal>,
    /// Decides about everything but telemetry. `None`: telemetry only, and who asks for something else is closed.
    pub control: Option<Arc<dyn Control>>,
    /// The provisioning service. `None`: who wants to register is refused.
    pub provisioning: Option<Arc<dyn Provisioning>>,
    /// The way to the shards that the control side was given; `None`: one is made.
    pub doorway: Option<Doorway>,
    /// For each shard, how far every Kafka endpoint has come; needed by listeners that acknowledge at level `kafka`.
    pub kafka: Vec<Option<Arc<Watermark>>>,
}

impl Wiring {
    /// A tier that takes telemetry and nothing else, without TLS and Kafka.
    #[must_use]
    pub fn telemetry(directory: Arc<dyn Directory>, journals: Vec<Journal>) -> Self {
        Self { directory, tls: None, journals, control: None, provisioning: None, doorway: None, kafka: Vec::new() }
    }
}

impl std::fmt::Debug for Wiring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wiring").field("journals", &self.journals.len()).finish_non_exhaustive()
    }
}

/// What a shard tells about itself.
#[derive(Debug, Default)]
pub(crate) struct StatusCells {
    turns: AtomicU64,
    connections: AtomicUsize,
    is_blocked: AtomicBool,
}

impl StatusCells {
    pub(crate) fn turned(&self, connections: usize, is_blocked: bool) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.connections.store(connections, Ordering::Relaxed);
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }
}

/// How a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardStatus {
    /// Its number.
    pub shard: ShardId,
    /// Turns since it started; a shard that is alive makes at least ten a second.
    pub turns: u64,
    /// Open connections.
    pub connections: usize,
    /// Whether it has stopped reading because its journal takes no more.
    pub is_blocked: bool,
    /// Whether its thread has ended.
    pub has_ended: bool,
}

struct Running {
    shard: ShardId,
    commands: Commands,
    status: Arc<StatusCells>,
    /// Taken when it is waited for.
    thread: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl Running {
    /// Queues a command; waits for room where there is none.
    fn tell(&self, command: Command) {
        let mut command = command;
        while let Err(back) = self.commands.send(command) {
            command = back;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn has_ended(&self) -> bool {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_none_or(JoinHandle::is_finished)
    }
}

/// The running shards.
pub struct Ingest {
    shards: Vec<Running>,
    doorway: Doorway,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl Ingest {
    /// Starts one thread per shard on sockets that are bound already.
    ///
    /// # Errors
    /// When an epoll set or a thread cannot be had.
    pub fn start(config: IngestConfig, listeners: Listeners, wiring: Wiring) -> io::Result<Self> {
        events::describe();
        let config = Arc::new(config);
        let count = listeners.by_shard.len();
        let doorway = match &wiring.doorway {
            Some(doorway) => doorway.clone(),
            None => Doorway::open(config.shards)?,
        };
        let (commands, polls) = (Arc::clone(doorway.shards()), doorway.take_polls());
        if polls.len() != count {
            return Err(io::Error::other(
                "the doorway leads to another number of shards, or to shards that run already",
            ));
        }
        let day = Arc::new(DayCount::new(config.quotas.hub_messages_per_day));
        let mut shards = Vec::with_capacity(count);
        let parts = polls.into_iter().zip(listeners.by_shard).zip(wiring.journals);
        for (number, ((poll, sockets), journal)) in parts.enumerate() {
            let shard = ShardId(u16::try_from(number).unwrap_or(u16::MAX));
            let kafka = wiring.kafka.get(number).cloned().flatten();
            wake_on_progress(&journal, kafka.as_ref(), commands.get(number));
            let status = Arc::new(StatusCells::default());
            let build = Build {
                config: Arc::clone(&config),
                directory: Arc::clone(&wiring.directory),
                control: wiring.control.clone(),
                provisioning: wiring.provisioning.clone(),
                day: Arc::clone(&day),
                tls: wiring.tls.clone(),
                status: Arc::clone(&status),
                kafka,
            };
            let own = commands.get(number).cloned().ok_or(io::ErrorKind::InvalidInput)?;
            let (own_commands, peers) = (own.clone(), Arc::clone(&commands));
            let thread = std::thread::Builder::new().name(format!("shard-{number}")).spawn(move || {
                let ended = End(own_commands.clone());
                let result = build.run(shard, poll, sockets, journal, own_commands, peers);
                drop(ended);
                result.inspect_err(|error| events::shard_failed(shard.0, error))
            })?;
            shards.push(Running { shard, commands: own, status, thread: Mutex::new(Some(thread)) });
        }
        Ok(Self { shards, doorway })
    }

    /// The way to the shards for other threads: doors and control side.
    #[must_use]
    pub const fn doorway(&self) -> &Doorway {
        &self.doorway
    }

    /// Takes over a connection of another door; see [`Doorway::adopt`].
    ///
    /// # Errors
    /// When the shard takes no more connections.
    pub fn adopt(&self, stream: UnixStream, peer: Option<SocketAddr>, certificates: Arc<[Vec<u8>]>) -> io::Result<()> {
        self.doorway.adopt(stream, peer, certificates)
    }

    /// Ends the session of an identity, if it has one; with no module, of the device and all its modules.
    pub fn end_session(&self, device_id: &str, module_id: Option<&str>, reason: &CloseReason) {
        let home = home(device_id, u16::try_from(self.shards.len()).unwrap_or(u16::MAX));
        if let Some(running) = self.shards.get(home) {
            let (device_id, module_id) = (device_id.into(), module_id.map(Into::into));
            running.tell(Command::End { device_id, module_id, reason: reason.clone() });
        }
    }

    /// Takes no more connections.
    pub fn stop_accepting(&self) {
        self.shards.iter().for_each(|running| running.tell(Command::StopAccepting));
    }

    /// How each shard is.
    #[must_use]
    pub fn status(&self) -> Vec<ShardStatus> {
        let status = |running: &Running| ShardStatus {
            shard: running.shard,
            turns: running.status.turns.load(Ordering::Relaxed),
            connections: running.status.connections.load(Ordering::Relaxed),
            is_blocked: running.status.is_blocked.load(Ordering::Relaxed),
            has_ended: running.has_ended(),
        };
        self.shards.iter().map(status).collect()
    }

    /// Acknowledges what was read, says goodbye to every peer and ends the shards; waits for it.
    ///
    /// # Errors
    /// What ended a shard before its time.
    pub fn drain(&self, deadline: Instant) -> io::Result<()> {
        self.shards.iter().for_each(|running| running.tell(Command::Drain { deadline }));
        let mut result = Ok(());
        for running in &self.shards {
            let thread = running.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            let ended = thread.map_or(Ok(Ok(())), JoinHandle::join);
            let ended = ended.unwrap_or_else(|_| Err(io::Error::other("a shard panicked")));
            result = result.and(ended);
        }
        result
    }
}

fn wake_on_progress(journal: &Journal, kafka: Option<&Arc<Watermark>>, commands: Option<&Commands>) {
    for watermark in [Some(journal.durable()), kafka].into_iter().flatten() {
        if let Some(commands) = commands.cloned() {
            watermark.listen(Box::new(move |_| commands.wake()));
        }
    }
}

/// Marks a shard as ended when its thread unwinds, too.
struct End(Commands);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What a shard's thread is built from.
struct Build {
    config: Arc<IngestConfig>,
    directory: Arc<dyn Directory>,
    control: Option<Arc<dyn Control>>,
    provisioning: Option<Arc<dyn Provisioning>>,
    day: Arc<DayCount>,
    tls: Option<Arc<ArcSwap<ServerConfig>>>,
    status: Arc<StatusCells>,
    kafka: Option<Arc<Watermark>>,
}

impl Build {
    fn run(
        self,
        shard: ShardId,
        poll: mio::Poll,
        listeners: Vec<ShardListener>,
        journal: Journal,
        commands: Commands,
        peers: Arc<[Commands]>,
    ) -> io::Result<()> {
        if self.config.pin_cores {
            pin(shard);
        }
        let registry = poll.registry().try_clone()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let shard = self.shard(shard, registry, listeners, journal, commands, peers);
        runtime.block_on(shard.run(poll))
    }

    fn shard(
        self,
        shard: ShardId,
        registry: mio::Registry,
        listeners: Vec<ShardListener>,
        journal: Journal,
        commands: Commands,
        peers: Arc<[Commands]>,
    ) -> Shard {
        let quotas = Quotas::new(&self.config.quotas, self.config.shards);
        // With a control side, what a session listens to outlives its connection.
        let session_expiry_seconds_max = if self.control.is_some() { u32::MAX } else { 0 };
        Shard {
            desk: Desk {
                shard,
                has_connection_events: self.config.connection_events.unwrap_or_else(|| self.control.is_some()),
                config: self.config,
                directory: self.directory,
                control: self.control,
                provisioning: self.provisioning,
                limits: Limits { session_expiry_seconds_max, ..Limits::default() },
                clock: Clock::start(),
                builder: BatchBuilder::new(),
                acks: Acks::default(),
                appender: journal.appender(),
                metrics: ShardMetrics::new(shard.0),
                turn_messages: 0,
                turn_bytes: 0,
                turn_submitted: 0,
                turn_settled: 0,
                connects_left: 0,
                lines_left: 0,
                bag: Vec::new(),
                topic: String::new(),
                sequence: Sequence::default(),
                is_used_up: false,
                own_answers: 0,
            },
            registry,
            listeners,
            connections: Slab::new(),
            by_owner: HashTable::new(),
            hasher: hashbrown::DefaultHashBuilder::default(),
            ready: std::collections::VecDeque::new(),
            wheel: Wheel::new(),
            commands,
            peers,
            tls: self.tls,
            journal,
            kafka: self.kafka,
            submitted: Slab::new(),
            quotas,
            day: self.day,
            status: self.status,
            generation: first_generation(),
            accept_rests: false,
            was_blocked: false,
            drain_until: None,
            turn_acks: 0,
            buffers: Buffers {
                read: vec![0; CARRY_BYTES_MAX + READ_BYTES],
                plain: Vec::new(),
                out: Vec::new(),
                wire: Vec::new(),
            },
            second: u32::MAX,
        }
    }
}

/// Where the numbers of connections begin. Locks on commands keep the key of the session that has them: a key of an earlier run, or of
/// another node, that came again would keep such a lock from being given back when the device returns.
fn first_generation() -> u32 {
    let random = RandomState::new().hash_one(0_u8) >> 32;
    u32::try_from(random).unwrap_or_default()
}

/// Binds the calling thread to the core of its number, where there is one.
fn pin(shard: ShardId) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(core) = cores.get(usize::from(shard.0) % cores.len().max(1)) {
        core_affinity::set_for_current(*core);
    }
}
