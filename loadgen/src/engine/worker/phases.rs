//! The phases of the plan, as a thread goes through them: ramp, the plan's own, drain.
//! - Invariants: a tally never spans two phases.

use anyhow::{Context as _, Result};

use super::{HOUSEKEEPING_NS, SECOND_NS, Worker};
use crate::engine::Notice;
use crate::engine::bodies::Bodies;
use crate::engine::connection::{Connection, Ending, State};
use crate::engine::schedule::NEVER;
use crate::number;
use crate::plan::{Phase, PhaseKind};
use crate::random::Random;

/// Messages of a trace that are counted as unsent at most.
const UNSENT_ROWS_MAX: u64 = 1_000_000;

impl Worker {
    /// Moves on to the phase of this instant; true when all is over.
    pub(super) fn step_phases(&mut self) -> Result<bool> {
        let settings = std::sync::Arc::clone(&self.turn.settings);
        let go_ns = settings.go_ns();
        if go_ns == NEVER {
            if !self.has_ramped && self.connector.settled() >= self.connections.len() {
                self.has_ramped = true;
                self.notices.send(Notice::Ramped).context("the conductor is gone")?;
            }
            return Ok(false);
        }
        let now_ns = self.turn.now_ns.max(settings.clock.now_ns());
        self.turn.now_ns = now_ns;
        if now_ns < go_ns {
            return Ok(false);
        }
        if let Some((number, phase, end_ns)) = settings.phase_at(now_ns) {
            if number != self.phase {
                let started_ns = end_ns.saturating_sub(number::nanoseconds(phase.seconds));
                self.enter(number, phase, started_ns)?;
            }
            return Ok(false);
        }
        let drain = settings.plan.phases.len() + 1;
        if self.phase != drain {
            self.enter_drain(drain, now_ns)?;
        }
        let drain_ns = settings.plan.drain_seconds.saturating_mul(SECOND_NS);
        let is_over = now_ns >= self.phase_started_ns.saturating_add(drain_ns);
        Ok(is_over || self.connections.iter().all(|connection| connection.window.len() == 0))
    }

    fn enter(&mut self, number: usize, phase: &Phase, started_ns: u64) -> Result<()> {
        self.ship(true)?;
        self.notices.send(Notice::Entered(number)).context("the conductor is gone")?;
        self.phase = number;
        self.phase_started_ns = started_ns;
        self.second_started_ns = started_ns;
        self.turn.is_sending = true;
        self.churn_due = 0.0;
        let plan = &self.turn.settings.plan;
        let connect_rate = phase.connect_rate.unwrap_or(plan.connect_rate);
        self.connector.set_rate(connect_rate / f64::from(plan.threads.max(1)));
        let (rate, arrival, seed) = (plan.connection_rate(phase.rate), plan.arrival, plan.seed);
        for connection in &mut self.connections {
            let random = Random::new(seed ^ started_ns, number::wide(connection.index), number::wide(number));
            connection.schedule.set_rate(started_ns, rate, arrival, random);
        }
        for position in 0..self.connections.len() {
            if phase.kind == PhaseKind::Storm {
                self.lose(position, &Ending::Cut);
            } else {
                self.serve(position, Connection::pump);
            }
        }
        Ok(())
    }

    fn enter_drain(&mut self, number: usize, now_ns: u64) -> Result<()> {
        self.turn.is_sending = false;
        let is_closed_loop = self.turn.settings.plan.window.is_some();
        let unsent: u64 = self.connections.iter().map(|connection| self.unsent(connection, now_ns)).sum();
        self.turn.tally.unsent += if is_closed_loop { 0 } else { unsent };
        self.ship(true)?;
        self.notices.send(Notice::Entered(number)).context("the conductor is gone")?;
        self.phase = number;
        self.phase_started_ns = now_ns;
        self.second_started_ns = now_ns;
        // The drain is only looked at when something happens, so something has to.
        self.housekeeping_ns = now_ns + HOUSEKEEPING_NS / 10;
        Ok(())
    }

    fn unsent(&self, connection: &Connection, end_ns: u64) -> u64 {
        let Bodies::Traces(traces) = &self.turn.settings.bodies else { return connection.schedule.owed(end_ns) };
        let since_ns = end_ns.saturating_sub(self.turn.settings.go_ns());
        let due = |sequence: &u64| {
            traces.due_ns(number::wide(connection.index), *sequence).is_some_and(|at_ns| at_ns < since_ns)
        };
        let rows = (connection.sequence..connection.sequence.saturating_add(UNSENT_ROWS_MAX)).take_while(due);
        number::wide(rows.count())
    }

    /// Cuts the share of connections that belongs to a tenth of a second.
    pub(super) fn churn(&mut self) {
        let settings = std::sync::Arc::clone(&self.turn.settings);
        let Some((_, phase, _)) = settings.phase_at(self.turn.now_ns) else { return };
        if self.phase == 0 || phase.kind != PhaseKind::Churn || self.connections.is_empty() {
            return;
        }
        let length = self.connections.len();
        let share = phase.churn_percent / 100.0 * number::seconds(HOUSEKEEPING_NS);
        self.churn_due += share * number::float(number::wide(length));
        let due = number::index(number::count(self.churn_due)).min(length);
        self.churn_due -= number::float(number::wide(due));
        for _ in 0..due {
            self.churn_next = (self.churn_next + 1) % length;
            self.lose(self.churn_next, &Ending::Cut);
        }
    }

    /// Says good-bye on all connections and closes them; counts what was never acknowledged.
    pub(super) fn close_all(&mut self) {
        for connection in &mut self.connections {
            self.turn.tally.unacknowledged += number::wide(connection.window.len());
            // A connection that fails now has nothing left to lose.
            connection.leave(&self.turn).unwrap_or_default();
            connection.end(State::Idle);
        }
    }
}
