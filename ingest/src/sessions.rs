//! The sessions of a shard: who is connected, take-over, deadlines, commands from outside, acknowledgements, the end.

use std::hash::BuildHasher as _;
use std::io;
use std::time::Instant;

use millrace_model::Offset;
use millrace_protocols_mqtt::PubAckReason;

use crate::acks::{PendingAck, Sealed};
use crate::close::CloseReason;
use crate::command::{Command, Moved};
use crate::config::AcknowledgeLevel;
use crate::connection::{ConnectionKey, Owner};
use crate::limits::COMMANDS_PER_TURN;
use crate::receive::keep;
use crate::serve::{Elsewhere, answer_connect, take_will};
use crate::shard::Shard;
use crate::{events, outbound};

impl Shard {
    /// Enters a session that was just let in, and ends an older one of the same identity.
    pub(crate) fn admitted(&mut self, key: ConnectionKey) {
        self.desk.metrics.sessions.increment(1);
        let Some(connection) = self.connection(key) else {
            return;
        };
        let deadline = connection.deadline().saturating_add(1);
        let was_due = connection.wheel_at;
        let Some(owner) = connection.owner.as_deref() else {
            return;
        };
        let (device_id, module_id) = (owner.device_id.clone(), owner.module_id.clone());
        if deadline < was_due {
            let wheel_at = self.wheel.schedule(key, deadline);
            if let Some(connection) = self.connection(key) {
                connection.wheel_at = wheel_at;
            }
        }
        if let Some(older) = self.find(&device_id, module_id.as_deref()) {
            self.close(older, &CloseReason::TakenOver);
        }
        let hash = self.hasher.hash_one(&*device_id);
        let Self { by_owner, connections, hasher, .. } = self;
        by_owner.insert_unique(hash, key, |key| {
            let owner = usize::try_from(key.slot).ok().and_then(|slot| connections.get(slot)?.owner.as_deref());
            owner.map_or(0, |owner| hasher.hash_one(&*owner.device_id))
        });
    }

    /// Hands a connection over to the shard that its device lives on; `rest` is the input behind its CONNECT.
    pub(crate) fn move_away(
        &mut self,
        key: ConnectionKey,
        elsewhere: Elsewhere,
        rest: &[u8],
    ) -> Result<(), CloseReason> {
        let Elsewhere { shard, admitted, keep_alive } = elsewhere;
        let Some(connection) = self.connection(key) else {
            return Ok(());
        };
        keep(connection, rest)?;
        let mut connection = self.connections.remove(usize::try_from(key.slot).unwrap_or(usize::MAX));
        if self.registry.deregister(&mut connection.stream).is_err() {
            return Ok(());
        }
        let moved = Box::new(Moved { connection, admitted, keep_alive });
        if let Some(Err(_)) = self.peers.get(shard).map(|peer| peer.send(Command::Adopt(moved))) {
            // The peer is overrun: the connection ends here, and the client tries again.
            let reason = CloseReason::Refused("the device's shard is overrun");
            let may_log = self.desk.may_log();
            events::connection_closed(&reason, None, None, may_log);
        }
        Ok(())
    }

    /// Takes a connection from another shard and answers its CONNECT.
    fn adopt(&mut self, moved: Moved) {
        let Moved { mut connection, admitted, keep_alive } = moved;
        let mut out = Vec::new();
        connection.is_queued = false;
        // What came behind CONNECT waits in `carry`.
        connection.is_blocked = true;
        connection.heard_at = self.desk.clock.seconds();
        answer_connect(&mut connection, admitted, keep_alive, &mut self.desk, &mut out);
        let key = match self.take_in(connection) {
            Ok(key) => key,
            Err(error) => return events::accept_failed(self.desk.shard.0, &error),
        };
        self.admitted(key);
        let Some(connection) = self.connection(key) else {
            return;
        };
        match outbound::send(connection, &out, &mut Vec::new()) {
            Ok(()) => self.queue(key),
            Err(reason) => self.close(key, &reason),
        }
    }

    /// The connection of an identity.
    fn find(&self, device_id: &str, module_id: Option<&str>) -> Option<ConnectionKey> {
        let is_it = |key: &ConnectionKey| {
            self.owner(*key)
                .is_some_and(|owner| &*owner.device_id == device_id && owner.module_id.as_deref() == module_id)
        };
        self.by_owner.find(self.hasher.hash_one(device_id), is_it).copied()
    }

    fn owner(&self, key: ConnectionKey) -> Option<&Owner> {
        self.connections.get(usize::try_from(key.slot).ok()?)?.owner.as_deref()
    }

    /// Ends a connection: takes its will, tells an MQTT 5 peer why, frees everything.
    pub(crate) fn close(&mut self, key: ConnectionKey, reason: &CloseReason) {
        let Some(connection) = self.connection(key) else {
            return;
        };
        let slot = usize::try_from(key.slot).unwrap_or(usize::MAX);
        let mut out = Vec::new();
        if connection.session.is_connected()
            && let Some(reason) = reason.disconnect_reason()
        {
            connection.session.disconnect(reason, &mut out);
        }
        // The peer is not owed the goodbye: a failure to send it changes nothing.
        drop(outbound::send(connection, &out, &mut Vec::new()));
        if let Some(tls) = &mut connection.tls {
            let mut alert = Vec::new();
            // Of a handshake that failed this is an error, and yet leaves the alert that says so.
            drop(tls.close(&mut alert));
            drop(outbound::transmit(connection, &alert));
        }
        self.forget(key);
        let mut connection = self.connections.remove(slot);
        take_will(&mut connection, &mut self.desk);
        let device_id = connection.owner.as_deref().map(|owner| &*owner.device_id);
        let may_log = self.desk.may_log();
        events::connection_closed(reason, device_id, connection.stream.peer_addr().ok(), may_log);
    }

    fn forget(&mut self, key: ConnectionKey) {
        let Some(owner) = self.owner(key) else {
            return;
        };
        let hash = self.hasher.hash_one(&*owner.device_id);
        if let Ok(entry) = self.by_owner.find_entry(hash, |entered| *entered == key) {
            entry.remove();
        }
    }

    /// Does what other threads asked for, a bounded part of it in each turn.
    pub(crate) fn obey(&mut self) {
        for _ in 0..COMMANDS_PER_TURN {
            let Some(command) = self.commands.take() else {
                return;
            };
            match command {
                Command::Adopt(moved) => self.adopt(*moved),
                Command::End { device_id, module_id, reason } => self.end(&device_id, module_id.as_deref(), &reason),
                Command::StopAccepting => self.stop_accepting(),
                Command::Drain { deadline } => {
                    self.stop_accepting();
                    self.drain_until = Some(deadline);
                }
            }
        }
    }

    fn end(&mut self, device_id: &str, module_id: Option<&str>, reason: &CloseReason) {
        let is_meant = |owner: &Owner| {
            &*owner.device_id == device_id && (module_id.is_none() || owner.module_id.as_deref() == module_id)
        };
        let hash = self.hasher.hash_one(device_id);
        let keys: Vec<ConnectionKey> =
            self.by_owner.iter_hash(hash).copied().filter(|key| self.owner(*key).is_some_and(is_meant)).collect();
        for key in keys {
            self.close(key, reason);
        }
    }

    /// Ends connections whose time is over. While nothing is read, nobody's silence counts.
    pub(crate) fn expire(&mut self) {
        let now = self.desk.clock.seconds();
        let is_reading = !self.desk.is_blocked();
        while let Some((second, keys)) = self.wheel.expire(now) {
            for key in keys {
                let Some(connection) = self.connection(key).filter(|connection| connection.wheel_at == second) else {
                    continue;
                };
                let deadline = connection.deadline();
                // A connection that has not had its turn may have said something.
                if deadline <= now && is_reading && !connection.is_queued {
                    let reason = overdue(connection, now);
                    self.close(key, &reason);
                    continue;
                }
                let wheel_at = self.wheel.schedule(key, deadline.max(now).saturating_add(1));
                if let Some(connection) = self.connection(key) {
                    connection.wheel_at = wheel_at;
                }
            }
        }
    }

    /// Sends the PUBACKs of what the journal (or Kafka) has made safe.
    pub(crate) fn acknowledge(&mut self) {
        let durable = self.journal.durable().offset();
        self.acknowledge_up_to(AcknowledgeLevel::Disk, durable);
        let kafka = self.kafka.as_ref().map_or(durable, |kafka| kafka.offset().min(durable));
        self.acknowledge_up_to(AcknowledgeLevel::Kafka, kafka);
    }

    /// Sends the PUBACKs that need only this process's memory.
    pub(crate) fn acknowledge_memory(&mut self) {
        self.acknowledge_up_to(AcknowledgeLevel::Memory, Offset(u64::MAX));
    }

    fn acknowledge_up_to(&mut self, level: AcknowledgeLevel, safe: Offset) {
        while let Some(Sealed { sealed_at, acks, .. }) = self.desk.acks.take(level, safe) {
            let waited = self.desk.clock.now.saturating_duration_since(sealed_at);
            self.desk.metrics.acknowledge_seconds.record(waited.as_secs_f64());
            self.turn_acks += acks.len();
            self.send_acks(&acks);
            self.desk.acks.recycle(acks);
        }
    }

    /// One write for all PUBACKs in a row that go to one connection.
    fn send_acks(&mut self, acks: &[PendingAck]) {
        let mut out = std::mem::take(&mut self.buffers.out);
        for run in acks.chunk_by(|one, next| one.connection == next.connection) {
            let Some(key) = run.first().map(|ack| ack.connection) else {
                continue;
            };
            let slot = usize::try_from(key.slot).unwrap_or(usize::MAX);
            let Some(connection) = self.connections.get_mut(slot).filter(|it| it.generation == key.generation) else {
                continue;
            };
            out.clear();
            for ack in run {
                connection.session.ack(ack.packet_id, PubAckReason::Success, &mut out);
            }
            if let Err(reason) = outbound::send(connection, &out, &mut self.buffers.wire) {
                self.close(key, &reason);
            }
        }
        self.buffers.out = out;
    }

    /// Whether everything that was read is acknowledged, or the time for it is over.
    pub(crate) fn is_drained(&self, deadline: Instant) -> bool {
        self.desk.clock.now >= deadline || self.desk.acks.is_empty() && self.desk.builder.is_empty()
    }

    /// Says goodbye to everybody, and hands the last wills to the journal.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        let all: Vec<_> = self
            .connections
            .iter()
            .filter_map(|(slot, connection)| Some((u32::try_from(slot).ok()?, connection.generation)))
            .collect();
        for (slot, generation) in all {
            self.close(ConnectionKey { slot, generation }, &CloseReason::ShuttingDown);
        }
        if !self.desk.seal() {
            events::will_dropped();
        }
        self.status.turned(0, false);
        Ok(())
    }
}

fn overdue(connection: &crate::connection::Connection, now: u32) -> CloseReason {
    if connection.owner.is_none() {
        CloseReason::ConnectTimeout
    } else if connection.expires_at <= now {
        CloseReason::TokenExpired
    } else {
        CloseReason::KeepAliveTimeout
    }
}
