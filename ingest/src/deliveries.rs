//! What the control side tells sessions, and how it reaches their clients.
//! - Invariants: packets go out in the order in which they were told, commands among themselves too. Nothing is encoded before the socket
//!   has room: what waits is kept as it was told, and shared with whoever told it.
//! - Errors: a client that lets too much pile up is closed as a slow reader. A command for which its window has no room, and no place is
//!   left to wait, is left to its lock: the control side delivers it again. What is larger than the client takes is left out, as
//!   [MQTT-3.1.2-25] asks.
//! - Limits: see `dialogue`.

use bytes::Bytes;
use millrace_model::door::{Request, Subscription, ToDevice};
use millrace_protocols_identity::topic::{hub, provisioning};
use millrace_protocols_mqtt::{Delivery, DeliveryError, Session};

use crate::close::CloseReason;
use crate::connection::{Connection, ConnectionKey, Owner};
use crate::dialogue::Receipt;
use crate::limits::COMMANDS_PER_TURN;
use crate::shard::Shard;
use crate::{events, outbound};

/// What became of a packet.
enum Written {
    /// It is on its way.
    Sent,
    /// The client's window has no room for it.
    Waits(ToDevice),
    /// It can never be sent on this connection.
    Dropped,
}

impl Shard {
    /// Does what sessions were told, a bounded part of it in each turn.
    pub(crate) fn hear(&mut self) {
        for _ in 0..COMMANDS_PER_TURN {
            let Some((key, what)) = self.commands.take_told() else {
                return;
            };
            match what {
                ToDevice::Refreshed => self.refreshed(key),
                ToDevice::Opened { is_present, subscriptions } => {
                    self.opened(key, is_present, subscriptions);
                    self.go_on(key);
                }
                ToDevice::Refused(refusal) => self.not_opened(key, refusal),
                ToDevice::End(reason) => self.close(key, &reason.into()),
                what => self.deliver(key, what),
            }
        }
    }

    fn deliver(&mut self, key: ConnectionKey, what: ToDevice) {
        let result = self.try_deliver(key, what);
        if let Err(reason) = result {
            self.close(key, &reason);
        }
        self.let_ask(key);
    }

    fn try_deliver(&mut self, key: ConnectionKey, what: ToDevice) -> Result<(), CloseReason> {
        // The control side has a session in its table a moment before it says that it is open: what comes then waits for CONNACK.
        let is_opening = |connection: &Connection| connection.session.is_deciding() && connection.owner.is_some();
        let is_there = |connection: &&mut Connection| connection.session.is_connected() || is_opening(connection);
        let Some(connection) = self.connection(key).filter(is_there) else {
            return Ok(());
        };
        let has_room = connection.outbox.is_empty() && connection.session.is_connected();
        let Some(dialogue) = connection.dialogue() else {
            return Ok(());
        };
        match &what {
            ToDevice::Subscribed { token, subscriptions } => {
                dialogue.answered();
                dialogue.subscriptions = *subscriptions;
                let receipt = dialogue.receipt(*token);
                dialogue.trim();
                return receipt.map_or(Ok(()), |receipt| self.send_receipt(key, &receipt));
            }
            ToDevice::Twin { .. } | ToDevice::Registration { .. } => dialogue.answered(),
            _ => {}
        }
        let is_command = matches!(what, ToDevice::Command { .. });
        if is_command && dialogue.has_commands() {
            if !dialogue.keep_command(what) {
                events::delivery_dropped("window");
            }
            return Ok(());
        }
        if !has_room || dialogue.has_deliveries() {
            return if dialogue.keep_delivery(what) { Ok(()) } else { Err(CloseReason::SlowReader) };
        }
        self.send_or_keep(key, what)
    }

    fn send_receipt(&mut self, key: ConnectionKey, receipt: &Receipt) -> Result<(), CloseReason> {
        let mut out = std::mem::take(&mut self.buffers.out);
        out.clear();
        let slot = usize::try_from(key.slot).unwrap_or(usize::MAX);
        let mut result = Ok(());
        if let Some(connection) = self.connections.get_mut(slot) {
            if receipt.is_unsubscribe {
                connection.session.unsuback(receipt.packet_id, &receipt.codes, &mut out);
            } else {
                connection.session.suback(receipt.packet_id, &receipt.codes, &mut out);
            }
            result = outbound::send(connection, &out, &mut self.buffers.wire);
        }
        self.buffers.out = out;
        result
    }

    /// Sends what has waited, as far as socket and window have room.
    pub(crate) fn pump(&mut self, key: ConnectionKey) {
        let has_room = |connection: &&mut Connection| connection.outbox.is_empty() && connection.session.is_connected();
        while let Some(connection) = self.connection(key).filter(has_room) {
            let Some(dialogue) = connection.dialogue().filter(|dialogue| dialogue.has_something()) else {
                return;
            };
            let delivery = dialogue.next_delivery();
            let has_waited_for_window = delivery.is_none();
            let Some(what) = delivery.or_else(|| dialogue.next_command()) else {
                return dialogue.trim();
            };
            match self.write(key, what) {
                Ok(Written::Sent | Written::Dropped) => {}
                Ok(Written::Waits(command)) => {
                    if let Some(dialogue) = self.connection(key).and_then(Connection::dialogue) {
                        dialogue.put_back(command);
                    }
                    // What waits only for the socket does not wait for the client's acknowledgements.
                    if has_waited_for_window {
                        return;
                    }
                }
                Err(reason) => return self.close(key, &reason),
            }
        }
    }

    fn send_or_keep(&mut self, key: ConnectionKey, what: ToDevice) -> Result<(), CloseReason> {
        if let Written::Waits(command) = self.write(key, what)?
            && let Some(dialogue) = self.connection(key).and_then(Connection::dialogue)
            && !dialogue.keep_command(command)
        {
            events::delivery_dropped("window");
        }
        Ok(())
    }

    /// Encodes a packet and sends it.
    fn write(&mut self, key: ConnectionKey, what: ToDevice) -> Result<Written, CloseReason> {
        let slot = usize::try_from(key.slot).unwrap_or(usize::MAX);
        let Some(connection) = self.connections.get_mut(slot).filter(|it| it.generation == key.generation) else {
            return Ok(Written::Dropped);
        };
        let mut out = std::mem::take(&mut self.buffers.out);
        out.clear();
        let topic = &mut self.desk.topic;
        let result = encode(&mut connection.session, connection.owner.as_deref(), &what, topic, &mut out);
        let sent = match &result {
            Ok(_) => outbound::send_packet(connection, &out, &mut self.buffers.wire),
            Err(_) => Ok(()),
        };
        self.buffers.out = out;
        sent?;
        match result {
            Ok(taken) => {
                events::delivered(&what);
                self.taken(key, taken)?;
                Ok(Written::Sent)
            }
            Err(DeliveryError::WindowFull) => Ok(Written::Waits(what)),
            Err(DeliveryError::TooLarge) => {
                events::delivery_dropped("too_large");
                Ok(Written::Dropped)
            }
            Err(DeliveryError::NotConnected) => Ok(Written::Dropped),
        }
    }

    /// A command that nobody acknowledges is done once it is sent.
    fn taken(&self, key: ConnectionKey, lock: Option<u64>) -> Result<(), CloseReason> {
        let owner = usize::try_from(key.slot).ok().and_then(|slot| self.connections.get(slot)?.owner.as_deref());
        let (Some(lock), Some(owner), Some(control)) = (lock, owner, &self.desk.control) else {
            return Ok(());
        };
        let from = self.desk.session_key(key);
        control.ask(from, &owner.name, Request::CommandTaken { lock }).map_err(|_| CloseReason::Unavailable)
    }

    /// Reads a session again that was held because it had asked too much.
    fn let_ask(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else {
            return;
        };
        let is_held = connection.is_held && connection.session.is_connected();
        if is_held && connection.dialogue().is_none_or(|dialogue| !dialogue.is_full()) {
            self.go_on(key);
        }
    }
}

/// Writes the packet for `what`. Answers the lock of a command that was sent with QoS 0.
fn encode(
    session: &mut Session,
    owner: Option<&Owner>,
    what: &ToDevice,
    topic: &mut String,
    out: &mut Vec<u8>,
) -> Result<Option<u64>, DeliveryError> {
    topic.clear();
    let mut token = None;
    let mut taken = None;
    let payload: &Bytes = match (what, owner) {
        (ToDevice::Twin { request_id, status, version, body }, Some(_)) => {
            hub::write_twin_answer(*status, request_id, *version, topic);
            body
        }
        (ToDevice::Desired { version, patch }, Some(_)) => {
            hub::write_desired(*version, topic);
            patch
        }
        (ToDevice::Method { call, name, payload }, Some(_)) => {
            hub::write_method(*call, name, topic);
            payload
        }
        (ToDevice::Command { lock, bag, body }, Some(owner)) => {
            hub::write_command(owner.name.device_id(), owner.name.module_id(), bag, topic);
            let subscriptions = owner.dialogue.subscriptions;
            // Without a subscription its SUBACK is still on its way: what it grants is not known yet.
            let is_at_least_once = subscriptions.is_at_least_once(Subscription::Commands);
            if is_at_least_once || !subscriptions.has(Subscription::Commands) {
                token = Some(*lock);
            } else {
                taken = Some(*lock);
            }
            body
        }
        (ToDevice::Registration { request_id, status, retry_after, body }, _) => {
            provisioning::write_answer(*status, request_id, *retry_after, topic);
            body
        }
        _ => return Err(DeliveryError::NotConnected),
    };
    session.deliver(&Delivery { topic, payload, token }, out)?;
    Ok(taken)
}
