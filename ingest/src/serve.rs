//! One connection's input: bytes to packets to the open batch.
//! - Hot path: [`take_publish`]: no allocation, one copy (into the batch), no look-up.
//! - Invariants: what follows a packet that was not taken stays in `input`, for the next time.
//! - Not here: who is let in (`opening`), what the control side is asked (`requests`).

use millrace_model::batch::IdentitySlot;
use millrace_model::limits::MESSAGE_BYTES_MAX;
use millrace_model::{MessageSource, bag};
use millrace_protocols_identity::topic;
use millrace_protocols_mqtt::{Event, Publish, QoS, Session, SessionError, Will};

use crate::acks::PendingAck;
use crate::close::CloseReason;
use crate::connection::{self, Connection, ConnectionKey, Owner};
use crate::desk::Desk;
use crate::events;
use crate::introduction::{Caller, Rejected, introduce};
use crate::opening::TOO_MANY;
use crate::requests::{self, Wish};

/// What came of a connection's input.
pub(crate) enum Served {
    /// All whole packets were taken.
    All,
    /// The journal takes no more; the rest is for later.
    Blocked,
    /// The session may ask no more before it is answered; the rest is for later.
    Held,
    /// Somebody wants to connect.
    Caller(Box<Caller>),
}

/// What has to be done once a packet's borrow is over.
enum Reply {
    Caller(Result<Caller, Rejected>),
    Wish(Wish),
    Ping,
    Nothing,
}

/// Takes packets off `input` until there is no whole one, or somebody has to answer first. Replies are added to `out`.
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
        let Connection { session, owner, guest, tls, identity_slot, acknowledge, .. } = connection;
        let event = match session.next(&desk.limits, input) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Served::All),
            Err(error) => return Err(protocol_error(session, error, out)),
        };
        let reply = match (event, owner.as_deref()) {
            (Event::Publish(publish), Some(owner)) => {
                if let Some(own_bag) = topic::bag_behind(publish.topic, &owner.telemetry) {
                    if let Some(packet_id) = take_publish(own_bag, &publish, owner, identity_slot, desk)? {
                        desk.acks.open(*acknowledge, PendingAck { connection: key, packet_id });
                    }
                    continue;
                }
                Reply::Wish(requests::read_publish(&publish)?)
            }
            (Event::Connect(_), _) if desk.connects_left == 0 => Reply::Caller(Err(TOO_MANY)),
            (Event::Connect(connect), _) => {
                Reply::Caller(introduce(&connect, connection::certificates(guest, tls.as_deref())))
            }
            (Event::PingRequest, _) => Reply::Ping,
            (Event::Disconnect { .. }, _) => return Err(CloseReason::ClientDisconnected),
            (event, owner) => read_other(&event, owner)?.map_or(Reply::Nothing, Reply::Wish),
        };
        match reply {
            Reply::Caller(Ok(caller)) => return Ok(Served::Caller(Box::new(caller))),
            Reply::Caller(Err(rejected)) => {
                session.refuse(rejected.refusal, out);
                return Err(CloseReason::Refused(rejected.why));
            }
            Reply::Wish(wish) => {
                requests::ask(connection, key, desk, wish, out)?;
                if connection.is_held {
                    return Ok(Served::Held);
                }
            }
            Reply::Ping => session.ping_response(out),
            Reply::Nothing => {}
        }
    }
}

/// The packets of which there are few.
fn read_other(event: &Event<'_>, owner: Option<&Owner>) -> Result<Option<Wish>, CloseReason> {
    /// From here on a PUBACK says that the message was not taken; its lock will run out.
    const FAILURE: u8 = 0x80;
    match (event, owner) {
        (Event::Subscribe(subscribe), Some(owner)) => requests::read_subscribe(subscribe, owner).map(Some),
        (Event::Unsubscribe(unsubscribe), Some(owner)) => Ok(Some(requests::read_unsubscribe(unsubscribe, owner))),
        (Event::PubAck { token: Some(lock), reason: ..FAILURE, .. }, Some(_)) => Ok(Some(Wish::Taken { lock: *lock })),
        (_, Some(_)) => Ok(None),
        (event, None) => requests::read_registration(event),
    }
}

fn protocol_error(session: &mut Session, error: SessionError, out: &mut Vec<u8>) -> CloseReason {
    session.fail(error, out);
    CloseReason::Protocol(error)
}

/// Copies a message into the open batch. Answers the packet id when a PUBACK is owed.
#[inline]
fn take_publish(
    own_bag: &str,
    publish: &Publish<'_>,
    owner: &Owner,
    slot: &mut IdentitySlot,
    desk: &mut Desk,
) -> Result<Option<u16>, CloseReason> {
    if desk.is_used_up {
        return Err(CloseReason::QuotaExceeded);
    }
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

/// Takes the will of a session that ended without DISCONNECT as a message of its identity.
pub(crate) fn take_will(connection: &mut Connection, desk: &mut Desk) {
    let Connection { session, owner: Some(owner), identity_slot, .. } = connection else {
        return;
    };
    let Some(Will { topic: will_topic, payload, bag: mut will_bag, retain, .. }) = session.take_will() else {
        return;
    };
    let Some(own_bag) = topic::bag_behind(&will_topic, &owner.telemetry) else {
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
