//! Reading: from the sockets that are ready to the open batch.
//! - Invariants: epoll reports an edge, so a socket is read until it gives less than asked for, or stays in the list. A connection
//!   with unsent replies is not read.

use std::io::{ErrorKind, Read as _};
use std::time::{Duration, Instant};

use crate::close::CloseReason;
use crate::connection::{Connection, ConnectionKey};
use crate::limits::{CARRY_BYTES_MAX, READ_BYTES, READING_TIME_MAX, READS_PER_TURN};
use crate::opening::Standing;
use crate::outbound;
use crate::quota::Pacing;
use crate::serve::{Served, serve};
use crate::shard::Shard;

/// Connections between two looks at the clock.
const CLOCK_EVERY: usize = 16;

/// What to do with a connection after it was read.
enum Next {
    /// Its socket is empty.
    Wait,
    /// There is more; others come first.
    Again,
}

impl Shard {
    /// Gives every connection that is ready its part of the turn, as far as the time goes.
    pub(crate) fn read_ready(&mut self) {
        if self.quotas.shard_rests(self.desk.clock.nanoseconds()) {
            return;
        }
        let deadline = self.desk.clock.now + READING_TIME_MAX;
        for number in 1..=self.ready.len() {
            let is_late = number % CLOCK_EVERY == 0 && Instant::now() >= deadline;
            if is_late || !self.desk.can_read() {
                return;
            }
            let Some(key) = self.ready.pop_front() else {
                return;
            };
            let Some(connection) = self.connection(key) else {
                continue;
            };
            connection.is_queued = false;
            if !self.may_read(key) {
                continue;
            }
            let before = self.desk.turn_messages;
            let result = self.read(key);
            if self.quotas.is_on() {
                self.quotas.charge(key, self.desk.turn_messages - before, self.desk.clock.nanoseconds());
            }
            match result {
                Ok(Next::Wait) => {}
                Ok(Next::Again) => self.queue(key),
                Err(reason) => self.close(key, &reason),
            }
        }
    }

    /// Whether a connection is within its quota. If not, it rests, or ends.
    fn may_read(&mut self, key: ConnectionKey) -> bool {
        if !self.quotas.is_on() {
            return true;
        }
        let now = self.desk.clock.nanoseconds();
        match self.quotas.look(key, now) {
            Pacing::Read => true,
            Pacing::Rest(until) => {
                let rest = Duration::from_nanos(until.saturating_sub(now)).as_secs().saturating_add(1);
                let woken_at = self.desk.clock.seconds().saturating_add(u32::try_from(rest).unwrap_or(u32::MAX));
                if let Some(connection) = self.connection(key) {
                    // It cannot be heard meanwhile, and is not silent for that.
                    connection.heard_at = woken_at;
                }
                false
            }
            Pacing::Violation => {
                self.close(key, &CloseReason::Throttled("more messages than its quota, for too long"));
                false
            }
        }
    }

    /// Brings back connections that have rested enough.
    pub(crate) fn wake_rested(&mut self) {
        let now = self.desk.clock.nanoseconds();
        while let Some(key) = self.quotas.due(now) {
            self.queue(key);
        }
    }

    fn read(&mut self, key: ConnectionKey) -> Result<Next, CloseReason> {
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connection(key) else {
                return Ok(Next::Wait);
            };
            if !connection.outbox.is_empty() || connection.is_held {
                return Ok(Next::Wait);
            }
            if connection.is_blocked {
                connection.is_blocked = false;
                self.take(key, 0)?;
                continue;
            }
            let Some(bytes) = self.fill(key)? else {
                return Ok(Next::Wait);
            };
            self.take(key, bytes)?;
            let is_lost = self.connection(key).is_some_and(|connection| connection.is_lost);
            if bytes < READ_BYTES && !is_lost {
                let is_blocked = self.connection(key).is_some_and(|connection| connection.is_blocked);
                return Ok(if is_blocked { Next::Again } else { Next::Wait });
            }
        }
        Ok(Next::Again)
    }

    /// Reads once from the socket, behind what the connection had kept. `None`: nothing there.
    fn fill(&mut self, key: ConnectionKey) -> Result<Option<usize>, CloseReason> {
        let now = self.desk.clock.seconds();
        let Some(connection) = self.connections.get_mut(index(key)) else {
            return Ok(None);
        };
        let kept = connection.kept().len();
        let room = self.buffers.read.get_mut(kept..kept + READ_BYTES).unwrap_or_default();
        loop {
            return match connection.stream.read(room) {
                Ok(0) => Err(CloseReason::ConnectionLost),
                Ok(bytes) => {
                    connection.heard_at = now;
                    Ok(Some(bytes))
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => Err(CloseReason::ConnectionLost),
            };
        }
    }

    /// Decodes what the connection had kept and the `bytes` that were read behind it.
    fn take(&mut self, key: ConnectionKey, bytes: usize) -> Result<(), CloseReason> {
        let mut plain = std::mem::take(&mut self.buffers.plain);
        let mut read = std::mem::take(&mut self.buffers.read);
        let result = self.decode(key, bytes, &mut read, &mut plain);
        self.buffers.plain = plain;
        self.buffers.read = read;
        result
    }

    fn decode(
        &mut self,
        key: ConnectionKey,
        bytes: usize,
        read: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        let Some(connection) = self.connections.get_mut(index(key)) else {
            return Ok(());
        };
        let kept = connection.kept().len();
        if let Some(front) = read.get_mut(..kept) {
            front.copy_from_slice(connection.kept());
        }
        let incoming = read.get_mut(..kept + bytes).unwrap_or_default();
        let mut input = if let Some(tls) = &mut connection.tls {
            plain.clear();
            plain.extend_from_slice(&connection.carry);
            self.buffers.wire.clear();
            let is_closed = tls.read(incoming, plain, &mut self.buffers.wire).map_err(CloseReason::Tls);
            outbound::transmit(connection, &self.buffers.wire)?;
            connection.is_lost |= is_closed?;
            plain.as_slice()
        } else {
            &*incoming
        };
        let result = self.serve_all(key, &mut input);
        if let Some(connection) = self.connections.get_mut(index(key)) {
            keep(connection, input)?;
        }
        result
    }

    fn serve_all(&mut self, key: ConnectionKey, input: &mut &[u8]) -> Result<(), CloseReason> {
        let mut out = std::mem::take(&mut self.buffers.out);
        out.clear();
        let result = loop {
            let Some(connection) = self.connections.get_mut(index(key)) else {
                break Ok(());
            };
            match serve(connection, key, &mut self.desk, input, &mut out) {
                Ok(Served::All) => break Ok(()),
                Ok(Served::Blocked | Served::Held) => {
                    connection.is_blocked = true;
                    break Ok(());
                }
                Ok(Served::Caller(caller)) => match self.receive(key, *caller) {
                    Ok(Standing::Open) => {}
                    Ok(Standing::Held) => break Ok(()),
                    Ok(Standing::Elsewhere(shard, introduction)) => {
                        self.buffers.out = out;
                        if let Some(connection) = self.connections.get_mut(index(key)) {
                            keep(connection, input)?;
                        }
                        self.move_away(key, shard, *introduction);
                        return Ok(());
                    }
                    Err(reason) => break Err(reason),
                },
                Err(reason) => break Err(reason),
            }
        };
        let sent = match self.connections.get_mut(index(key)) {
            Some(connection) => outbound::send(connection, &out, &mut self.buffers.wire),
            None => Ok(()),
        };
        self.buffers.out = out;
        result.and(sent)?;
        // A PUBACK has made room for another command.
        if self.connections.get_mut(index(key)).and_then(Connection::dialogue).is_some_and(|it| it.has_something()) {
            self.pump(key);
        }
        Ok(())
    }

    /// The socket takes more again.
    pub(crate) fn flush(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else {
            return;
        };
        match outbound::flush(connection) {
            // What came in meanwhile was not read, and its edge is gone.
            Ok(true) => {
                self.pump(key);
                self.queue(key);
            }
            Ok(false) => {}
            Err(reason) => self.close(key, &reason),
        }
    }
}

/// Keeps the rest of the input for the next read; an empty rest frees the buffer.
pub(crate) fn keep(connection: &mut Connection, rest: &[u8]) -> Result<(), CloseReason> {
    if rest.is_empty() {
        connection.carry = Vec::new();
        return Ok(());
    }
    if rest.len() > CARRY_BYTES_MAX {
        return Err(CloseReason::MessageTooLarge(CARRY_BYTES_MAX));
    }
    connection.carry.clear();
    connection.carry.extend_from_slice(rest);
    Ok(())
}

fn index(key: ConnectionKey) -> usize {
    usize::try_from(key.slot).unwrap_or(usize::MAX)
}
