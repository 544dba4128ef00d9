//! The pace of connecting, for the first time and again.
//! - Invariants: attempts start no faster than the rate; a failed one waits longer each time, with a random part.

use std::collections::VecDeque;

use mio::{Interest, Token};

use super::{OPENING_MAX, Worker};
use crate::engine::connection::{Ending, State};
use crate::engine::schedule::NEVER;
use crate::engine::transport::Transport;
use crate::number;
use crate::random::Random;
use crate::report::Tally;

/// First pause after a failed attempt.
const PAUSE_NS: u64 = 100_000_000;
/// The pause doubles up to 2^5 times the first.
const DOUBLINGS_MAX: u32 = 5;
/// Attempts in one go, so that open connections get their turn.
const ATTEMPTS_PER_TURN: usize = 64;
/// The ramp waits for a connection until it has failed so often.
pub(super) const RAMP_ATTEMPTS: u32 = 5;

/// Who is to connect, and when.
#[derive(Debug)]
pub(super) struct Connector {
    queue: VecDeque<usize>,
    next_ns: u64,
    interval_ns: u64,
    opening: usize,
    open: u64,
    settled: usize,
}

impl Connector {
    /// All connections are to connect, at `rate` a second.
    pub(super) fn new(connections: usize, rate: f64) -> Self {
        let mut connector =
            Self { queue: (0..connections).collect(), next_ns: 0, interval_ns: 0, opening: 0, open: 0, settled: 0 };
        connector.set_rate(rate);
        connector
    }

    /// Changes the rate; 0 is no limit.
    pub(super) fn set_rate(&mut self, rate: f64) {
        self.interval_ns = if rate > 0.0 { number::count(1e9 / rate) } else { 0 };
    }

    /// One more is to connect.
    pub(super) fn queue(&mut self, position: usize) {
        self.queue.push_back(position);
    }

    /// When there is something to do.
    pub(super) fn next_ns(&self) -> u64 {
        if self.queue.is_empty() || self.opening >= OPENING_MAX { NEVER } else { self.next_ns }
    }

    /// One is open; the ramp counts those that are for the first time.
    pub(super) fn opened(&mut self, is_first: bool) {
        self.opening = self.opening.saturating_sub(1);
        self.open += 1;
        self.settled += usize::from(is_first);
    }

    /// How many are open.
    pub(super) const fn open(&self) -> u64 {
        self.open
    }

    /// How many were open once or have failed often enough.
    pub(super) const fn settled(&self) -> usize {
        self.settled
    }

    fn next(&mut self, now_ns: u64) -> Option<usize> {
        if self.opening >= OPENING_MAX || now_ns < self.next_ns {
            return None;
        }
        let position = self.queue.pop_front()?;
        // A thread that was late catches up on 10 ms at most, so that a stall doesn't become a burst.
        self.next_ns = self.next_ns.max(now_ns.saturating_sub(10_000_000)) + self.interval_ns;
        self.opening += 1;
        Some(position)
    }
}

impl Worker {
    /// Starts the attempts that are due.
    pub(super) fn connect_due(&mut self) {
        for _ in 0..ATTEMPTS_PER_TURN {
            let Some(position) = self.connector.next(self.turn.now_ns) else { return };
            self.turn.tally.connects_started += 1;
            if let Err(error) = self.connect(position) {
                self.lose(position, &Ending::Failed(error));
            }
        }
    }

    fn connect(&mut self, position: usize) -> std::io::Result<()> {
        let settings = &self.turn.settings;
        let Some(connection) = self.connections.get_mut(position) else { return Ok(()) };
        // Set first, so that an attempt that fails at once is counted as one.
        connection.state = State::Connecting;
        connection.attempts = connection.attempts.saturating_add(1);
        connection.attempt_ns = self.turn.now_ns;
        let source = connection.index.checked_rem(settings.sources.len()).and_then(|index| settings.sources.get(index));
        let tls = settings.tls.as_ref().map(|tls| tls.connect(connection.index)).transpose();
        let tls = tls.map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))?;
        let mut transport = Transport::connect(settings.target, source.copied(), tls)?;
        let interest = Interest::READABLE.add(Interest::WRITABLE);
        self.poll.registry().register(transport.socket_mut(), Token(position), interest)?;
        connection.begin(transport);
        Ok(())
    }

    /// A connection has ended: counts it, and plans its next attempt.
    pub(super) fn lose(&mut self, position: usize, ending: &Ending) {
        let Some(connection) = self.connections.get_mut(position) else { return };
        let state = connection.state;
        if matches!(state, State::Idle | State::Waiting) {
            return;
        }
        let is_cut = matches!(ending, Ending::Cut);
        let transport = connection.end(if is_cut { State::Idle } else { State::Waiting });
        if let Some(mut transport) = transport {
            // Closing the socket removes it from the event loop in any case.
            self.poll.registry().deregister(transport.socket_mut()).unwrap_or_default();
        }
        match state {
            State::Open => {
                self.connector.open = self.connector.open.saturating_sub(1);
                Tally::count(&mut self.turn.tally.lost, ending.name());
            }
            _ => {
                self.connector.opening = self.connector.opening.saturating_sub(1);
                Tally::count(&mut self.turn.tally.refused, ending.name());
                let gives_up = !connection.was_open && connection.attempts == RAMP_ATTEMPTS;
                self.connector.settled += usize::from(gives_up);
            }
        }
        if is_cut {
            connection.timer_ns = NEVER;
            self.connector.queue(position);
            return;
        }
        let doublings = connection.attempts.saturating_sub(1).min(DOUBLINGS_MAX);
        let pause_ns = PAUSE_NS << doublings;
        let stream = number::wide(connection.index);
        let mut random = Random::new(self.turn.settings.plan.seed, stream, self.turn.now_ns);
        let pause_ns = pause_ns / 2 + random.bits() % pause_ns;
        connection.timer_ns = self.turn.now_ns + pause_ns;
        self.timers.push(std::cmp::Reverse((connection.timer_ns, position)));
    }
}
