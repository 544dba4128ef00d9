//! The sessions of a shard: who is connected, deadlines, commands from outside, acknowledgements, the end.

use std::hash::BuildHasher as _;
use std::io;
use std::time::Instant;

use millrace_model::Offset;
use millrace_model::door::Request;
use millrace_protocols_mqtt::{PubAckReason, Refusal};

use crate::acks::{PendingAck, Sealed};
use crate::close::CloseReason;
use crate::command::Command;
use crate::config::AcknowledgeLevel;
use crate::connection::{Connection, ConnectionKey, Owner};
use crate::limits::COMMANDS_PER_TURN;
use crate::serve::take_will;
use crate::shard::Shard;
use crate::{connection_events, events, outbound};

impl Shard {
    /// The connection of an identity.
    pub(crate) fn find(&self, device_id: &str, module_id: Option<&str>) -> Option<ConnectionKey> {
        let is_it = |key: &ConnectionKey| {
            self.owner(*key)
                .is_some_and(|owner| owner.name.device_id() == device_id && owner.name.module_id() == module_id)
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
        let was_open = connection.session.was_connected();
        if connection.session.is_deciding() {
            connection.session.refuse(Refusal::ServerUnavailable, &mut out);
        }
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
        self.tell_end(key, &mut connection, was_open);
        let device_id = connection.owner.as_deref().map(|owner| owner.name.device_id());
        let may_log = self.desk.may_log();
        events::connection_closed(reason, device_id, connection.stream.peer(), may_log);
    }

    /// Tells the control side, and whoever reads connection events, that a session is over.
    fn tell_end(&mut self, key: ConnectionKey, connection: &mut Connection, was_open: bool) {
        let Connection { owner: Some(owner), identity_slot, .. } = connection else {
            return;
        };
        if was_open {
            connection_events::append(&mut self.desk, owner, identity_slot, false);
        }
        if owner.is_asked
            && let Some(control) = &self.desk.control
        {
            let asked = control.ask(self.desk.session_key(key), &owner.name, Request::Close);
            debug_assert!(asked.is_ok(), "the end of a session is always taken");
        }
    }

    fn forget(&mut self, key: ConnectionKey) {
        let Some(owner) = self.owner(key) else {
            return;
        };
        let hash = self.hasher.hash_one(owner.name.device_id());
        if let Ok(entry) = self.by_owner.find_entry(hash, |entered| *entered == key) {
            entry.remove();
        }
    }

    /// Does what other threads asked for, a bounded part of it in each turn.
    pub(crate) fn obey(&mut self) {
        self.commands.looking();
        self.obey_commands();
        self.hear();
        self.take_submissions();
    }

    fn obey_commands(&mut self) {
        for _ in 0..COMMANDS_PER_TURN {
            let Some(command) = self.commands.take() else {
                return;
            };
            match command {
                Command::Adopt(moved) => self.adopt(*moved),
                Command::Enter(handed) => self.enter_handed(*handed),
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
            owner.name.device_id() == device_id && (module_id.is_none() || owner.name.module_id() == module_id)
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
            if self.acknowledge_submission(key) {
                continue;
            }
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

fn overdue(connection: &Connection, now: u32) -> CloseReason {
    if !connection.session.is_connected() {
        CloseReason::ConnectTimeout
    } else if connection.expires_at <= now {
        CloseReason::TokenExpired
    } else {
        CloseReason::KeepAliveTimeout
    }
}
