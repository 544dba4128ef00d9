//! One connection's input: bytes to packets to the open batch.
//! - Hot path: [`take_publish`]: no allocation, one copy (into the batch), no look-up.
//! - Invariants: what follows a packet that was not taken stays in `input`, for the next time.

use millrace_model::batch::IdentitySlot;
use millrace_model::limits::MESSAGE_BYTES_MAX;
use millrace_model::{MessageSource, bag};
use millrace_protocols_identity::topic;
use millrace_protocols_mqtt::{Accept, Event, Publish, QoS, Refusal, Session, SessionError, Will};

use crate::acks::PendingAck;
use crate::admission::{Admitted, admit};
use crate::close::CloseReason;
use crate::connection::{Connection, ConnectionKey, Owner};
use crate::desk::Desk;
use crate::events;
use crate::limits::SILENCE_SECONDS_MAX;

/// Filters that a session may subscribe to, besides its own device-bound messages and module inputs.
const HUB_FILTERS: [&str; 3] =
    ["$iothub/methods/POST/#", "$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"];

/// What came of a connection's input.
#[derive(Debug)]
pub(crate) enum Served {
    /// All whole packets were taken.
    All,
    /// The journal takes no more; the rest is for later.
    Blocked,
    /// A session was let in.
    Admitted,
    /// A session was let in whose device lives on another shard.
    Elsewhere(Box<Elsewhere>),
}

/// What the other shard has to know.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    pub(crate) shard: usize,
    pub(crate) admitted: Admitted,
    pub(crate) keep_alive: u16,
}

/// What has to be answered once a packet's borrow is over.
enum Reply {
    Connect(Result<Admitted, crate::admission::Refused>, u16),
    Subscribe(u16, Vec<u8>),
    Unsubscribe(u16, Vec<u8>),
    Ping,
    Nothing,
}

/// Takes packets off `input` until there is no whole one, or a session was let in. Replies are added to `out`.
pub(crate) fn serve(
    connection: &mut Connection,
    key: ConnectionKey,
    desk: &mut Desk,
    input: &mut &[u8],
    out: &mut Vec<u8>,
) -> Result<Served, CloseReason> {
    loop {
        if !desk.can_read() {
            return Ok(Served::Blocked);
        }
        let Connection { session, owner, identity_slot, acknowledge, .. } = connection;
        let event = match session.next(&desk.limits, input) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Served::All),
            Err(error) => return Err(protocol_error(session, error, out)),
        };
        let reply = match (event, owner.as_deref()) {
            (Event::Publish(publish), Some(owner)) => {
                if let Some(packet_id) = take_publish(&publish, owner, identity_slot, desk)? {
                    desk.acks.open(*acknowledge, PendingAck { connection: key, packet_id });
                }
                continue;
            }
            (Event::Connect(connect), _) => {
                let admitted = if desk.connects_left == 0 {
                    let why = "too many new sessions in this second";
                    Err(crate::admission::Refused { refusal: Refusal::ConnectionRateExceeded, why })
                } else {
                    let now = desk.clock.unix_seconds();
                    admit(&connect, desk.directory.as_ref(), &desk.config.host_names, now)
                };
                Reply::Connect(admitted, connect.keep_alive_seconds)
            }
            (Event::Subscribe(subscribe), Some(owner)) => {
                let codes =
                    subscribe.filters.map(|(filter, qos)| grant(owner, filter, qos)).collect::<Result<_, _>>()?;
                Reply::Subscribe(subscribe.packet_id, codes)
            }
            (Event::Unsubscribe(unsubscribe), _) => {
                Reply::Unsubscribe(unsubscribe.packet_id, unsubscribe.filters().map(|_| 0).collect())
            }
            (Event::PingRequest, _) => Reply::Ping,
            (Event::Disconnect { .. }, _) => return Err(CloseReason::ClientDisconnected),
            _ => Reply::Nothing,
        };
        match reply {
            Reply::Connect(Err(refused), _) => {
                session.refuse(refused.refusal, out);
                return Err(CloseReason::Refused(refused.why));
            }
            Reply::Connect(Ok(admitted), keep_alive) => {
                let shard = home(&admitted.device_id, desk.config.shards);
                if shard != usize::from(desk.shard.0) {
                    return Ok(Served::Elsewhere(Box::new(Elsewhere { shard, admitted, keep_alive })));
                }
                answer_connect(connection, admitted, keep_alive, desk, out);
                return Ok(Served::Admitted);
            }
            Reply::Subscribe(packet_id, codes) => session.suback(packet_id, &codes, out),
            Reply::Unsubscribe(packet_id, codes) => session.unsuback(packet_id, &codes, out),
            Reply::Ping => session.ping_response(out),
            Reply::Nothing => {}
        }
    }
}

fn protocol_error(session: &mut Session, error: SessionError, out: &mut Vec<u8>) -> CloseReason {
    session.fail(error, out);
    CloseReason::Protocol(error)
}

/// Copies a message into the open batch. Answers the packet id when a PUBACK is owed.
#[inline]
fn take_publish(
    publish: &Publish<'_>,
    owner: &Owner,
    slot: &mut IdentitySlot,
    desk: &mut Desk,
) -> Result<Option<u16>, CloseReason> {
    let own_bag = topic::telemetry_bag(publish.topic, &owner.device_id, owner.module_id.as_deref())
        .ok_or(CloseReason::TopicNotAllowed("this identity may publish telemetry on its own topic only"))?;
    desk.bag.clear();
    if publish.retain {
        bag::push(&mut desk.bag, "mqtt-retain", "true");
    }
    if !publish.properties.is_empty() {
        publish.properties.write_bag(&mut desk.bag);
    }
    let bytes = own_bag.len() + desk.bag.len() + publish.payload.len();
    if bytes > MESSAGE_BYTES_MAX {
        return Err(CloseReason::MessageTooLarge(MESSAGE_BYTES_MAX));
    }
    let bags = [trim_bag(own_bag), desk.bag.as_slice()];
    let now = desk.clock.timestamp;
    desk.builder.append(&owner.identity, slot, MessageSource::Telemetry, now, bags, publish.payload);
    desk.turn_messages += 1;
    desk.turn_bytes += bytes;
    Ok((publish.qos != QoS::AtMostOnce).then_some(publish.packet_id))
}

/// The bag without the `?` before and the `/` behind that some clients send: joined bags must not hold them in the middle.
fn trim_bag(own_bag: &str) -> &[u8] {
    let bag = own_bag.as_bytes();
    let bag = bag.strip_prefix(b"?").unwrap_or(bag);
    bag.strip_suffix(b"/").unwrap_or(bag)
}

/// The shard that a device's connections live on: always the same one, so that its messages have one order, and its next
/// connection finds the one before it. FNV-1a with the finalizer of MurmurHash3: the same in every process, and every character of
/// an id reaches every bit, so that ids that differ in their last digit spread.
pub(crate) fn home(device_id: &str, shards: u16) -> usize {
    let hash = device_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    usize::try_from((hash ^ (hash >> 33)) % u64::from(shards.max(1))).unwrap_or(0)
}

/// Answers the CONNECT of a session that was let in.
pub(crate) fn answer_connect(
    connection: &mut Connection,
    admitted: Admitted,
    keep_alive: u16,
    desk: &mut Desk,
    out: &mut Vec<u8>,
) {
    desk.connects_left = desk.connects_left.saturating_sub(1);
    let keep_alive_seconds = millrace_protocols_mqtt::effective_keep_alive(&desk.limits, keep_alive);
    let client_id = match (&admitted.module_id, admitted.assigned_client_id) {
        (_, false) => None,
        (None, true) => Some(admitted.device_id.to_string()),
        (Some(module), true) => Some(format!("{}/{module}", admitted.device_id)),
    };
    let accept = Accept { session_present: false, assigned_client_id: client_id.as_deref(), keep_alive_seconds };
    connection.session.accept(&desk.limits, &accept, out);
    // [MQTT-3.1.2-24]: one and a half times the keep-alive time.
    let silence = u32::from(keep_alive_seconds).saturating_mul(3).div_ceil(2);
    connection.silence_max = if silence == 0 { SILENCE_SECONDS_MAX } else { silence.min(SILENCE_SECONDS_MAX) };
    let lives = admitted.expires_at.saturating_sub(desk.clock.unix_seconds());
    connection.expires_at = desk.clock.seconds().saturating_add(u32::try_from(lives).unwrap_or(u32::MAX));
    connection.owner = Some(Box::new(Owner {
        device_id: admitted.device_id,
        module_id: admitted.module_id,
        identity: admitted.identity,
    }));
}

/// The granted QoS for a filter. A filter of somebody else's closes the connection, because SDKs overlook a refusal in SUBACK.
fn grant(owner: &Owner, filter: &str, qos: QoS) -> Result<u8, CloseReason> {
    const OTHERS: CloseReason = CloseReason::TopicNotAllowed("this identity may not subscribe to that filter");
    if HUB_FILTERS.contains(&filter) {
        return Ok(qos.level());
    }
    let rest = filter.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(&*owner.device_id)).ok_or(OTHERS)?;
    let own = match owner.module_id.as_deref() {
        None => rest == "/messages/devicebound/#",
        Some(module) => rest
            .strip_prefix("/modules/")
            .and_then(|rest| rest.strip_prefix(module))
            .is_some_and(|rest| ["/inputs/#", "/#", "/messages/devicebound/#"].contains(&rest)),
    };
    own.then_some(qos.level()).ok_or(OTHERS)
}

/// Takes the will of a session that ended without DISCONNECT as a message of its identity.
pub(crate) fn take_will(connection: &mut Connection, desk: &mut Desk) {
    let Connection { session, owner: Some(owner), identity_slot, .. } = connection else {
        return;
    };
    let Some(Will { topic: will_topic, payload, bag: mut will_bag, retain, .. }) = session.take_will() else {
        return;
    };
    let Some(own_bag) = topic::telemetry_bag(&will_topic, &owner.device_id, owner.module_id.as_deref()) else {
        return;
    };
    if retain {
        bag::push(&mut will_bag, "mqtt-retain", "true");
    }
    bag::push(&mut will_bag, "iothub-MessageType", "Will");
    if own_bag.len() + will_bag.len() + payload.len() > MESSAGE_BYTES_MAX {
        return;
    }
    if !desk.can_read() {
        return events::will_dropped();
    }
    let now = desk.clock.timestamp;
    let bags = [trim_bag(own_bag), will_bag.as_slice()];
    desk.builder.append(&owner.identity, identity_slot, MessageSource::Telemetry, now, bags, &payload);
    desk.turn_messages += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_spread_over_the_shards_and_stay_there() {
        for shards in [2_u16, 3, 4, 16] {
            let mut count = vec![0_usize; usize::from(shards)];
            (0..4000).for_each(|number| count[home(&format!("trio-27-{number}"), shards)] += 1);
            let fair = 4000 / usize::from(shards);
            assert!(count.iter().all(|&count| count.abs_diff(fair) < fair / 3), "{count:?}");
        }
        let of_ten: usize = (0..10).map(|number| home(&format!("sma-7-{number}"), 2)).sum();
        assert!((2..=8).contains(&of_ten), "a handful of devices spreads too: {of_ten}");
        assert_eq!(home("pump-1", 2), 0, "the same in every process and release: order depends on it");
        assert_eq!(home("pump-1", 1), 0);
    }
}
