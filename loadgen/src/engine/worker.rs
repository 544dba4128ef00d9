//! One thread: an event loop over its connections, their timers, the pace of connecting and the phases of the plan.
//! - Shape: wait -> serve what is ready -> timers -> connect -> phase -> ten times a second a tenth of the housekeeping -> once a
//!   second a tally.
//! - Invariants: the thread sleeps until the next thing it has to do, to the microsecond; it never spins.
//! - Limits: [`OPENING_MAX`] connections under way at once. The channel of tallies is bounded: when it is full the thread goes on
//!   counting into the same tally.
//! - Hot path: nothing in `turn` allocates per message.

mod connecting;
mod phases;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use anyhow::{Context as _, Result};
use mio::{Events, Poll, Token};

use crate::engine::Notice;
use crate::engine::connection::{Connection, Ending, State};
use crate::engine::packets::Drafts;
use crate::engine::schedule::NEVER;
use crate::engine::settings::Settings;
use crate::engine::timer::{Timer, thread_cpu_ns};
use crate::engine::worker::connecting::Connector;
use crate::ledger::{Entry, Writer};
use crate::number;
use crate::report::Tally;

/// Connections under way at once; more would only overflow the server's accept queue.
const OPENING_MAX: usize = 1_000;
const EVENTS: usize = 1_024;
const INPUT_BYTES: usize = 64 * 1024;
const TIMER: Token = Token(usize::MAX - 1);
const HOUSEKEEPING_NS: u64 = 100_000_000;
/// Housekeeping sees every connection once in this many rounds.
const HOUSEKEEPING_ROUNDS: usize = 10;
const SECOND_NS: u64 = 1_000_000_000;

/// What a connection may use while it is served.
pub(crate) struct Turn {
    /// Of the process.
    pub(crate) settings: Arc<Settings>,
    /// The time, taken when the connection's turn began.
    pub(crate) now_ns: u64,
    /// Whether messages are to be sent now.
    pub(crate) is_sending: bool,
    /// Unacknowledged messages per connection.
    pub(crate) window_max: usize,
    /// The current second.
    pub(crate) tally: Tally,
    /// Scratch for packets.
    pub(crate) drafts: Drafts,
    /// Scratch for what is read.
    pub(crate) input: Vec<u8>,
    /// Scratch for what is written.
    pub(crate) output: Vec<u8>,
}

/// A thread's whole state.
pub(crate) struct Worker {
    turn: Turn,
    poll: Poll,
    timer: Timer,
    connections: Vec<Connection>,
    /// Instants and connections; an entry counts only while it is the connection's own `timer_ns`.
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    connector: Connector,
    /// 0 is the ramp, then the phases, then the drain.
    phase: usize,
    phase_started_ns: u64,
    has_ramped: bool,
    housekeeping_ns: u64,
    housekeeping_round: usize,
    churn_due: f64,
    churn_next: usize,
    second_started_ns: u64,
    /// End of the last tally.
    shipped_ns: u64,
    cpu_ns: u64,
    ledger: Option<Writer>,
    notices: SyncSender<Notice>,
}

impl Worker {
    /// A thread's state, before it starts.
    ///
    /// # Errors
    /// No event loop, or the ledger can't be opened.
    pub(crate) fn new(settings: Arc<Settings>, thread: u16, notices: SyncSender<Notice>) -> Result<Self> {
        let poll = Poll::new().context("event loop")?;
        let timer = Timer::new(settings.clock, poll.registry(), TIMER).context("timer")?;
        let threads = usize::from(settings.plan.threads.max(1));
        let all = number::index(u64::from(settings.plan.connections));
        let own = (usize::from(thread)..all).step_by(threads);
        let connections: Vec<Connection> = own.map(|index| Connection::new(index, &settings)).collect();
        let ledger = settings.plan.ledger.as_deref().map(Writer::append).transpose()?;
        let window = settings.plan.window.unwrap_or(settings.plan.in_flight_max);
        let tally = Tally { source: format!("{}.{thread}", settings.process), ..Tally::default() };
        let now_ns = settings.clock.now_ns();
        let connector =
            Connector::new(connections.len(), settings.plan.connect_rate / f64::from(settings.plan.threads));
        Ok(Self {
            turn: Turn {
                settings,
                now_ns,
                is_sending: false,
                window_max: usize::from(window),
                tally,
                drafts: Drafts::default(),
                input: vec![0; INPUT_BYTES],
                output: Vec::new(),
            },
            poll,
            timer,
            connections,
            timers: BinaryHeap::new(),
            connector,
            phase: 0,
            phase_started_ns: now_ns,
            has_ramped: false,
            housekeeping_ns: now_ns + HOUSEKEEPING_NS,
            housekeeping_round: 0,
            churn_due: 0.0,
            churn_next: 0,
            second_started_ns: now_ns,
            shipped_ns: now_ns,
            cpu_ns: 0,
            ledger,
            notices,
        })
    }

    /// Runs the plan to its end and says `Done`.
    pub(crate) fn run(mut self) {
        let failure = self.run_plan().err().map(|error| format!("{error:#}"));
        // The conductor is gone only when the run has failed already.
        self.notices.send(Notice::Done(failure)).unwrap_or_default();
    }

    fn run_plan(&mut self) -> Result<()> {
        self.cpu_ns = thread_cpu_ns();
        let mut events = Events::with_capacity(EVENTS);
        while !self.step_phases()? {
            self.wait(&mut events)?;
            for event in &events {
                match event.token() {
                    TIMER => self.timer.fired(),
                    Token(position) => {
                        let readable = event.is_readable() || event.is_read_closed() || event.is_error();
                        self.serve(position, |connection, turn| connection.ready(readable, turn));
                    }
                }
            }
            self.turn.now_ns = self.turn.settings.clock.now_ns();
            self.run_timers();
            self.connect_due();
            if self.turn.now_ns >= self.housekeeping_ns {
                self.keep_house()?;
            }
            if self.turn.now_ns >= self.second_started_ns + SECOND_NS {
                self.ship(false)?;
            }
        }
        self.close_all();
        for position in 0..self.connections.len() {
            self.write_ledger(position)?;
        }
        self.flush_ledger()?;
        self.ship(true)
    }

    fn wait(&mut self, events: &mut Events) -> Result<()> {
        let next_timer = self.timers.peek().map_or(NEVER, |Reverse((at_ns, _))| *at_ns);
        let next_connect = self.connector.next_ns();
        let mut next = next_timer.min(next_connect).min(self.housekeeping_ns).min(self.second_started_ns + SECOND_NS);
        let go_ns = self.turn.settings.go_ns();
        if self.phase == 0 {
            next = next.min(go_ns);
        } else if let Some((_, _, end_ns)) = self.turn.settings.phase_at(self.turn.now_ns) {
            next = next.min(end_ns);
        }
        let now_ns = self.turn.settings.clock.now_ns();
        let timeout = if next <= now_ns {
            Some(std::time::Duration::ZERO)
        } else {
            self.timer.wake_at(next)?;
            None
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            result => result.context("waiting for events"),
        }
    }

    /// Lets a connection do something, and looks after what comes of it.
    fn serve(&mut self, position: usize, act: impl FnOnce(&mut Connection, &mut Turn) -> Result<(), Ending>) {
        self.turn.now_ns = self.turn.settings.clock.now_ns();
        let Some(connection) = self.connections.get_mut(position) else { return };
        let was_opening = matches!(connection.state, State::Connecting | State::Greeting);
        let was_open_before = connection.was_open;
        let result = act(connection, &mut self.turn);
        if was_opening && connection.state == State::Open {
            self.connector.opened(!was_open_before);
        }
        match result {
            Ok(()) => self.arm(position),
            Err(ending) => self.lose(position, &ending),
        }
    }

    /// Puts the connection's next instant into the heap.
    fn arm(&mut self, position: usize) {
        let Some(connection) = self.connections.get_mut(position) else { return };
        let at_ns = connection.wakes_ns(&self.turn);
        if at_ns != NEVER && at_ns != connection.timer_ns {
            connection.timer_ns = at_ns;
            self.timers.push(Reverse((at_ns, position)));
        }
    }

    fn run_timers(&mut self) {
        while let Some(&Reverse((at_ns, position))) = self.timers.peek() {
            if at_ns > self.turn.now_ns {
                return;
            }
            self.timers.pop();
            let Some(connection) = self.connections.get_mut(position) else { continue };
            if connection.timer_ns != at_ns {
                continue;
            }
            connection.timer_ns = NEVER;
            if connection.state == State::Waiting {
                connection.state = State::Idle;
                self.connector.queue(position);
            } else {
                self.serve(position, Connection::pump);
            }
        }
    }

    /// A tenth of the connections: time-outs, keep alive, ledger; and the churn of a tenth of a second.
    fn keep_house(&mut self) -> Result<()> {
        self.housekeeping_ns = self.turn.now_ns + HOUSEKEEPING_NS;
        self.housekeeping_round = (self.housekeeping_round + 1) % HOUSEKEEPING_ROUNDS;
        let patience_ns = self.turn.settings.plan.connect_timeout_seconds.saturating_mul(SECOND_NS);
        for position in (self.housekeeping_round..self.connections.len()).step_by(HOUSEKEEPING_ROUNDS) {
            let Some(connection) = self.connections.get(position) else { break };
            let waits = matches!(connection.state, State::Connecting | State::Greeting);
            if waits && self.turn.now_ns > connection.attempt_ns.saturating_add(patience_ns) {
                self.lose(position, &Ending::TimedOut);
            } else if connection.state == State::Open {
                self.serve(position, Connection::keep_alive);
            }
            self.write_ledger(position)?;
        }
        self.churn();
        self.flush_ledger()
    }

    fn write_ledger(&mut self, position: usize) -> Result<()> {
        let (Some(ledger), Some(connection)) = (&mut self.ledger, self.connections.get_mut(position)) else {
            return Ok(());
        };
        if !connection.is_unwritten {
            return Ok(());
        }
        connection.is_unwritten = false;
        ledger.push(&Entry {
            device: connection.id.clone(),
            sent: connection.sequence,
            acknowledged: connection.acknowledged.clone(),
        })
    }

    fn flush_ledger(&mut self) -> Result<()> {
        self.ledger.as_mut().map_or(Ok(()), Writer::flush)
    }

    /// Hands the tally on. When the conductor is behind, the tally just grows, unless it is the `last` of its phase.
    fn ship(&mut self, last: bool) -> Result<()> {
        let now_ns = self.turn.settings.clock.now_ns();
        let cpu_ns = thread_cpu_ns();
        let tally = &mut self.turn.tally;
        tally.cpu_ns += cpu_ns.saturating_sub(self.cpu_ns);
        tally.wall_ns += now_ns.saturating_sub(self.shipped_ns);
        tally.phase = self.phase;
        tally.second = self.second_started_ns.saturating_sub(self.phase_started_ns) / SECOND_NS;
        tally.open = self.connector.open();
        tally.in_flight = number::wide(self.connections.iter().map(|connection| connection.window.len()).sum());
        self.cpu_ns = cpu_ns;
        self.shipped_ns = now_ns;
        if !last {
            self.second_started_ns += now_ns.saturating_sub(self.second_started_ns) / SECOND_NS * SECOND_NS;
        }
        let fresh = Tally { source: tally.source.clone(), ..Tally::default() };
        let full = Box::new(std::mem::replace(tally, fresh));
        if last {
            return self.notices.send(Notice::Tally(full)).context("the conductor is gone");
        }
        match self.notices.try_send(Notice::Tally(full)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Notice::Tally(full))) => {
                self.turn.tally = *full;
                Ok(())
            }
            Err(_) => anyhow::bail!("the conductor is gone"),
        }
    }
}
