//! What a session asks of the control side: read from its packets, and handed over.
//! - Invariants: a QoS 1 request is acknowledged as soon as it is handed over; a SUBSCRIBE only when it is durable, because clients do not
//!   subscribe again. A request that cannot be read, or a filter of somebody else's, closes the connection: SDKs overlook a refusal.
//! - Errors: where the control side takes no more, a twin request is answered with 429; anything else ends the session, so that the
//!   client comes back and does it again.
//! - Not here: what becomes of an answer (`deliveries`).

use bytes::Bytes;
use millrace_model::HubError;
use millrace_model::door::{RegistrationRequest, Request, SessionKey, Subscriptions};
use millrace_protocols_identity::topic::hub::{self, HubPublish};
use millrace_protocols_identity::topic::provisioning::{self, ANSWERS_FILTER, ProvisioningPublish};
use millrace_protocols_mqtt::{Delivery, Event, PubAckReason, Publish, QoS, Session, Subscribe, Unsubscribe};

use crate::close::CloseReason;
use crate::connection::{Connection, ConnectionKey, Guest, Owner};
use crate::desk::Desk;
use crate::events;
use crate::limits::{METHOD_BYTES_MAX, PATCH_BYTES_MAX, REGISTRATION_BYTES_MAX};

/// Seconds after which a registration is told to ask again, where the service takes no more.
const RETRY_AFTER_SECONDS: u32 = 5;

const NO_CONTROL: CloseReason = CloseReason::TopicNotAllowed("this hub takes telemetry only");
const OTHERS_TOPIC: CloseReason = CloseReason::TopicNotAllowed("this identity may not publish there");
const OTHERS_FILTER: CloseReason = CloseReason::TopicNotAllowed("this identity may not subscribe to that filter");

/// What a packet asks for, free of the packet.
pub(crate) enum Wish {
    /// A request that is a PUBLISH.
    Publish { request: Request, packet_id: Option<u16>, bytes: usize },
    /// Listen to more.
    Subscribe { packet_id: u16, codes: Vec<u8>, added: Subscriptions },
    /// Listen to less.
    Unsubscribe { packet_id: u16, codes: Vec<u8>, removed: Subscriptions },
    /// A command was acknowledged.
    Taken { lock: u64 },
    /// A registration's PUBLISH.
    Register { request: RegistrationRequest, packet_id: Option<u16>, bytes: usize },
    /// A registration's SUBSCRIBE, which nothing is kept of.
    Listen { packet_id: u16, codes: Vec<u8> },
    /// A registration's UNSUBSCRIBE.
    Ignore { packet_id: u16, codes: Vec<u8> },
}

fn owed_ack(publish: &Publish<'_>) -> Option<u16> {
    (publish.qos != QoS::AtMostOnce).then_some(publish.packet_id)
}

/// Reads a PUBLISH that is no telemetry.
pub(crate) fn read_publish(publish: &Publish<'_>) -> Result<Wish, CloseReason> {
    let payload = || Bytes::copy_from_slice(publish.payload);
    let bytes = publish.payload.len();
    let request = match HubPublish::parse(publish.topic).ok_or(OTHERS_TOPIC)? {
        HubPublish::ReadTwin { request_id } => Request::ReadTwin { request_id: request_id.into() },
        HubPublish::PatchReported { request_id, if_version } => {
            // One that is too large is answered, and needs no copy for that.
            let patch = if bytes > PATCH_BYTES_MAX { Bytes::new() } else { payload() };
            Request::PatchReported { request_id: request_id.into(), if_version, patch }
        }
        HubPublish::MethodAnswered { .. } if bytes > METHOD_BYTES_MAX => {
            return Err(CloseReason::MessageTooLarge(METHOD_BYTES_MAX));
        }
        HubPublish::MethodAnswered { call, status } => Request::MethodAnswered { call, status, payload: payload() },
    };
    Ok(Wish::Publish { request, packet_id: owed_ack(publish), bytes })
}

/// Reads a SUBSCRIBE.
pub(crate) fn read_subscribe(subscribe: &Subscribe<'_>, owner: &Owner) -> Result<Wish, CloseReason> {
    let mut codes = Vec::new();
    let mut added = Subscriptions::default();
    for (filter, qos) in subscribe.filters {
        added = added.with(subscription(filter, qos, owner).ok_or(OTHERS_FILTER)?);
        codes.push(qos.level());
    }
    Ok(Wish::Subscribe { packet_id: subscribe.packet_id, codes, added })
}

/// Reads an UNSUBSCRIBE; a filter that nobody could have subscribed to is answered and otherwise ignored.
pub(crate) fn read_unsubscribe(unsubscribe: &Unsubscribe<'_>, owner: &Owner) -> Wish {
    /// "No subscription existed", for MQTT 5.
    const NONE: u8 = 0x11;
    let mut codes = Vec::new();
    let mut removed = Subscriptions::default();
    for filter in unsubscribe.filters() {
        let found = subscription(filter, QoS::AtLeastOnce, owner);
        codes.push(if found.is_some() { 0 } else { NONE });
        removed = removed.with(found.unwrap_or_default());
    }
    Wish::Unsubscribe { packet_id: unsubscribe.packet_id, codes, removed }
}

fn subscription(filter: &str, qos: QoS, owner: &Owner) -> Option<Subscriptions> {
    hub::subscription(filter, qos == QoS::AtLeastOnce, owner.name.device_id(), owner.name.module_id())
}

/// Reads a packet of a registration; `None` for one that asks nothing.
pub(crate) fn read_registration(event: &Event<'_>) -> Result<Option<Wish>, CloseReason> {
    Ok(Some(match event {
        Event::Publish(publish) => {
            let bytes = publish.payload.len();
            if bytes > REGISTRATION_BYTES_MAX {
                return Err(CloseReason::MessageTooLarge(REGISTRATION_BYTES_MAX));
            }
            let request = match ProvisioningPublish::parse(publish.topic).ok_or(OTHERS_TOPIC)? {
                ProvisioningPublish::Register { request_id } => RegistrationRequest::Register {
                    request_id: request_id.into(),
                    body: Bytes::copy_from_slice(publish.payload),
                },
                ProvisioningPublish::Status { request_id, operation_id } => {
                    RegistrationRequest::Status { request_id: request_id.into(), operation_id: operation_id.into() }
                }
            };
            Wish::Register { request, packet_id: owed_ack(publish), bytes }
        }
        Event::Subscribe(subscribe) => {
            let code = |(filter, qos): (&str, QoS)| (filter == ANSWERS_FILTER).then_some(qos.level());
            let codes: Option<Vec<u8>> = subscribe.filters.map(code).collect();
            Wish::Listen { packet_id: subscribe.packet_id, codes: codes.ok_or(OTHERS_FILTER)? }
        }
        Event::Unsubscribe(unsubscribe) => {
            Wish::Ignore { packet_id: unsubscribe.packet_id, codes: unsubscribe.filters().map(|_| 0).collect() }
        }
        _ => return Ok(None),
    }))
}

/// Hands a wish over. Afterwards the session is held where it may ask no more for now.
pub(crate) fn ask(
    connection: &mut Connection,
    key: ConnectionKey,
    desk: &mut Desk,
    wish: Wish,
    out: &mut Vec<u8>,
) -> Result<(), CloseReason> {
    let from = desk.session_key(key);
    let Connection { session, owner, guest, .. } = connection;
    match (wish, owner.as_deref_mut(), guest.as_deref_mut()) {
        (Wish::Listen { packet_id, codes }, ..) => session.suback(packet_id, &codes, out),
        (Wish::Ignore { packet_id, codes }, ..) => session.unsuback(packet_id, &codes, out),
        (Wish::Register { request, packet_id, bytes }, _, Some(Guest::Registrant(registering))) => {
            acknowledge(session, packet_id, out);
            let request_id = request_id_of(&request);
            let provisioning = desk.provisioning.as_ref().ok_or(NO_CONTROL)?;
            match provisioning.ask(from, &registering.who, request) {
                Ok(()) => registering.dialogue.asked(bytes),
                Err(_) => answer_registration(session, &request_id, desk, out),
            }
        }
        (wish, Some(owner), _) => ask_control(session, owner, from, desk, wish, out)?,
        _ => {}
    }
    let is_full = connection.dialogue().is_some_and(|dialogue| dialogue.is_full());
    connection.is_held |= is_full;
    Ok(())
}

fn ask_control(
    session: &mut Session,
    owner: &mut Owner,
    from: SessionKey,
    desk: &mut Desk,
    wish: Wish,
    out: &mut Vec<u8>,
) -> Result<(), CloseReason> {
    let control = desk.control.clone().ok_or(NO_CONTROL)?;
    let Owner { name, dialogue, .. } = owner;
    match wish {
        Wish::Publish { request, packet_id, bytes } => {
            acknowledge(session, packet_id, out);
            let answer = match &request {
                Request::ReadTwin { request_id } | Request::PatchReported { request_id, .. } => {
                    Some(request_id.clone())
                }
                _ => None,
            };
            let Some(request_id) = answer else {
                return control.ask(from, name, request).map_err(|_| CloseReason::Unavailable);
            };
            if bytes > PATCH_BYTES_MAX {
                answer_twin(session, &request_id, &HubError::TOO_LARGE, desk, out);
            } else if control.ask(from, name, request).is_ok() {
                dialogue.asked(bytes);
            } else {
                answer_twin(session, &request_id, &HubError::THROTTLED, desk, out);
            }
            Ok(())
        }
        Wish::Subscribe { packet_id, codes, added } => {
            let token = dialogue.owe(packet_id, codes, false);
            dialogue.asked(0);
            control.ask(from, name, Request::Subscribe { added, token }).map_err(|_| CloseReason::Unavailable)
        }
        Wish::Unsubscribe { packet_id, codes, removed } => {
            let token = dialogue.owe(packet_id, codes, true);
            dialogue.asked(0);
            control.ask(from, name, Request::Unsubscribe { removed, token }).map_err(|_| CloseReason::Unavailable)
        }
        Wish::Taken { lock } => {
            control.ask(from, name, Request::CommandTaken { lock }).map_err(|_| CloseReason::Unavailable)
        }
        Wish::Register { .. } | Wish::Listen { .. } | Wish::Ignore { .. } => Ok(()),
    }
}

fn acknowledge(session: &mut Session, packet_id: Option<u16>, out: &mut Vec<u8>) {
    if let Some(packet_id) = packet_id {
        session.ack(packet_id, PubAckReason::Success, out);
    }
}

fn answer_twin(session: &mut Session, request_id: &str, error: &HubError, desk: &mut Desk, out: &mut Vec<u8>) {
    desk.topic.clear();
    hub::write_twin_answer(error.status, request_id, None, &mut desk.topic);
    answer(session, error, desk, out);
}

fn answer_registration(session: &mut Session, request_id: &str, desk: &mut Desk, out: &mut Vec<u8>) {
    let error = HubError::THROTTLED;
    desk.topic.clear();
    provisioning::write_answer(error.status, request_id, Some(RETRY_AFTER_SECONDS), &mut desk.topic);
    answer(session, &error, desk, out);
}

fn answer(session: &mut Session, error: &HubError, desk: &mut Desk, out: &mut Vec<u8>) {
    let tracking_id = desk.tracking_id();
    let body = error.body(&tracking_id, &desk.clock.text());
    events::request_refused(error, &tracking_id);
    let delivery = Delivery { topic: &desk.topic, payload: body.as_bytes(), token: None };
    if session.deliver(&delivery, out).is_err() {
        events::delivery_dropped("too_large");
    }
}

fn request_id_of(request: &RegistrationRequest) -> Box<str> {
    match request {
        RegistrationRequest::Attest => Box::default(),
        RegistrationRequest::Register { request_id, .. } | RegistrationRequest::Status { request_id, .. } => {
            request_id.clone()
        }
    }
}
