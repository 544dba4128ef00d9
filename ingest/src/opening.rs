//! From CONNECT to CONNACK: is the credential good, where does the device live, what does the control side say.
//! - Shape: caller -> home shard -> judged -> (not known: the registry is looked at again, judged once more) -> opened -> CONNACK.
//! - Invariants: while somebody else has to answer, the connection is not read. An older session of the identity is over before the new
//!   one is opened. A device is judged on the
//!   shard that also ends its sessions, so that nothing that is disabled or deleted meanwhile slips through. Where nobody answers in time, or a queue is full, CONNACK says "server unavailable", because SDKs give up for ever
//!   after "not authorized".
//! - Not here: what is judged (`admission`), what CONNECT must look like (`introduction`).

use std::hash::BuildHasher as _;
use std::sync::Arc;

use millrace_model::door::{self, RegistrationRequest, Request, Subscriptions};
use millrace_protocols_identity::topic;
use millrace_protocols_mqtt::{Accept, Refusal, effective_keep_alive};

use crate::admission::{Admitted, RefusedKind};
use crate::close::CloseReason;
use crate::command::{Command, Moved};
use crate::connection::{ConnectionKey, Guest, Owner, Registering};
use crate::dialogue::Dialogue;
use crate::introduction::{Caller, Greeting, Introduction, Rejected};
use crate::limits::{REGISTRATION_SECONDS_MAX, SILENCE_SECONDS_MAX};
use crate::serve::home;
use crate::shard::Shard;
use crate::{connection_events, events, outbound};

const NO_ANSWER: Rejected =
    Rejected { refusal: Refusal::ServerUnavailable, why: "the control side takes no more requests" };

/// A shard lets in so many in a second, whichever of them took the connection.
pub(crate) const TOO_MANY: Rejected =
    Rejected { refusal: Refusal::ConnectionRateExceeded, why: "too many new sessions in this second" };

/// How far a CONNECT has come.
pub(crate) enum Standing {
    /// It was answered with yes.
    Open,
    /// Somebody else has to answer first.
    Held,
    /// The device lives on another shard.
    Elsewhere(usize, Box<Introduction>),
}

impl Shard {
    /// Takes what CONNECT said.
    pub(crate) fn receive(&mut self, key: ConnectionKey, caller: Caller) -> Result<Standing, CloseReason> {
        match caller {
            Caller::Device(introduction) => {
                let shard = home(introduction.name.device_id(), self.desk.config.shards);
                if shard != usize::from(self.desk.shard.0) {
                    return Ok(Standing::Elsewhere(shard, Box::new(introduction)));
                }
                self.judge(key, introduction, true)
            }
            Caller::Registrant(registrant, greeting) => {
                let registering = Registering { who: Arc::new(registrant), greeting, dialogue: Dialogue::default() };
                self.attest(key, registering)
            }
        }
    }

    fn judge(
        &mut self,
        key: ConnectionKey,
        introduction: Introduction,
        may_refresh: bool,
    ) -> Result<Standing, CloseReason> {
        let now = self.desk.clock.unix_seconds();
        match introduction.judge(self.desk.directory.as_ref(), &self.desk.config.host_names, now) {
            Ok(admitted) => self.open(key, admitted, introduction),
            Err(refused) if may_refresh && refused.kind == RefusedKind::Unknown && self.desk.control.is_some() => {
                self.refresh(key, introduction)
            }
            Err(refused) => Err(self.refuse(key, refused.into())),
        }
    }

    /// The registry may know more than this node has heard of: a device that was created a moment ago must get in.
    fn refresh(&mut self, key: ConnectionKey, introduction: Introduction) -> Result<Standing, CloseReason> {
        let from = self.desk.session_key(key);
        let name = Arc::clone(&introduction.name);
        if let Some(connection) = self.connection(key) {
            connection.guest = Some(Box::new(Guest::Waiting(introduction)));
            connection.is_held = true;
        }
        let asked = self.desk.control.as_ref().map(|control| control.ask(from, &name, Request::Refresh));
        if matches!(asked, Some(Ok(()))) { Ok(Standing::Held) } else { Err(self.refuse(key, NO_ANSWER)) }
    }

    /// The registry is as new as the store.
    pub(crate) fn refreshed(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connection(key) else {
            return;
        };
        let guest = connection.guest.take().map(|guest| *guest);
        let Some(Guest::Waiting(introduction)) = guest else {
            connection.guest = guest.map(Box::new);
            return;
        };
        connection.is_held = false;
        match self.judge(key, introduction, false) {
            Ok(Standing::Open) => self.go_on(key),
            Ok(_) => {}
            Err(reason) => self.close(key, &reason),
        }
    }

    /// Asks the control side to open the session of somebody who lives here.
    fn open(
        &mut self,
        key: ConnectionKey,
        admitted: Admitted,
        introduction: Introduction,
    ) -> Result<Standing, CloseReason> {
        let Introduction { greeting, model_id, .. } = introduction;
        if self.desk.connects_left == 0 {
            return Err(self.refuse(key, TOO_MANY));
        }
        let desk = &mut self.desk;
        desk.connects_left -= 1;
        let (from, now) = (desk.session_key(key), desk.clock.seconds());
        let lives = admitted.expires_at.saturating_sub(desk.clock.unix_seconds());
        let name = Arc::clone(&admitted.name);
        let owner = Owner {
            telemetry: topic::telemetry_topic(name.device_id(), name.module_id()).into(),
            name: admitted.name,
            identity: admitted.identity,
            dialogue: Dialogue::default(),
            greeting,
            expires_at: now.saturating_add(u32::try_from(lives).unwrap_or(u32::MAX)),
            is_asked: false,
        };
        self.enter_owner(key, owner);
        let Some(control) = self.desk.control.clone() else {
            self.opened(key, false, Subscriptions::default());
            return Ok(Standing::Open);
        };
        let Some(connection) = self.connection(key) else {
            return Ok(Standing::Held);
        };
        connection.is_held = true;
        if control.ask(from, &name, Request::Open { clean: greeting.is_clean, model_id }).is_err() {
            return Err(self.refuse(key, NO_ANSWER));
        }
        if let Some(owner) = self.connection(key).and_then(|connection| connection.owner.as_deref_mut()) {
            owner.is_asked = true;
        }
        Ok(Standing::Held)
    }

    /// Gives a connection its owner, and ends an older one of the same identity.
    fn enter_owner(&mut self, key: ConnectionKey, owner: Owner) {
        if let Some(older) = self.find(owner.name.device_id(), owner.name.module_id()) {
            self.close(older, &CloseReason::TakenOver);
        }
        let hash = self.hasher.hash_one(owner.name.device_id());
        if let Some(connection) = self.connection(key) {
            connection.owner = Some(Box::new(owner));
        }
        let Self { by_owner, connections, hasher, .. } = self;
        by_owner.insert_unique(hash, key, |key| {
            let owner = usize::try_from(key.slot).ok().and_then(|slot| connections.get(slot)?.owner.as_deref());
            owner.map_or(0, |owner| hasher.hash_one(owner.name.device_id()))
        });
    }

    fn attest(&mut self, key: ConnectionKey, registering: Registering) -> Result<Standing, CloseReason> {
        let Some(provisioning) = self.desk.provisioning.clone() else {
            let why = "there is no provisioning service here";
            return Err(self.refuse(key, Rejected { refusal: Refusal::NotAuthorized, why }));
        };
        let from = self.desk.session_key(key);
        let who = Arc::clone(&registering.who);
        if let Some(connection) = self.connection(key) {
            connection.guest = Some(Box::new(Guest::Registrant(registering)));
            connection.is_held = true;
        }
        match provisioning.ask(from, &who, RegistrationRequest::Attest) {
            Ok(()) => Ok(Standing::Held),
            Err(_) => Err(self.refuse(key, NO_ANSWER)),
        }
    }

    /// Answers CONNECT with yes.
    pub(crate) fn opened(&mut self, key: ConnectionKey, is_present: bool, subscriptions: Subscriptions) {
        let now = self.desk.clock.seconds();
        let slot = usize::try_from(key.slot).unwrap_or(usize::MAX);
        let Some(connection) = self.connections.get_mut(slot).filter(|it| it.generation == key.generation) else {
            return;
        };
        if !connection.session.is_deciding() {
            return;
        }
        let (greeting, expires_at) = match (connection.owner.as_deref_mut(), connection.guest.as_deref()) {
            (Some(owner), _) => {
                owner.dialogue.subscriptions = subscriptions;
                (owner.greeting, owner.expires_at)
            }
            (None, Some(Guest::Registrant(registering))) => {
                // Counted only now: who does not attest must not use up what others need.
                self.desk.connects_left = self.desk.connects_left.saturating_sub(1);
                (registering.greeting, now.saturating_add(REGISTRATION_SECONDS_MAX))
            }
            _ => return,
        };
        let client_id = client_id(connection.owner.as_deref(), greeting);
        let keep_alive_seconds = effective_keep_alive(&self.desk.limits, greeting.keep_alive_seconds);
        let session_present = is_present && !greeting.is_clean;
        let accept = Accept { session_present, assigned_client_id: client_id.as_deref(), keep_alive_seconds };
        let mut out = Vec::new();
        connection.session.accept(&self.desk.limits, &accept, &mut out);
        connection.silence_max = silence_max(keep_alive_seconds);
        connection.heard_at = now;
        connection.expires_at = expires_at;
        if let Some(owner) = connection.owner.as_deref() {
            self.desk.metrics.sessions.increment(1);
            connection_events::append(&mut self.desk, owner, &mut connection.identity_slot, true);
        }
        let (due, was_due) = (connection.deadline().saturating_add(1), connection.wheel_at);
        let sent = outbound::send(connection, &out, &mut self.buffers.wire);
        if due < was_due {
            connection.wheel_at = self.wheel.schedule(key, due);
        }
        if let Err(reason) = sent {
            self.close(key, &reason);
        }
    }

    /// Answers CONNECT with no, in the control side's words.
    pub(crate) fn not_opened(&mut self, key: ConnectionKey, refusal: door::Refusal) {
        let rejected = match refusal {
            door::Refusal::Unavailable => {
                Rejected { refusal: Refusal::ServerUnavailable, why: "the control side is not available" }
            }
            door::Refusal::Throttled => {
                Rejected { refusal: Refusal::ServerBusy, why: "the control side has too much to do" }
            }
            door::Refusal::Unauthorized => {
                Rejected { refusal: Refusal::NotAuthorized, why: "the credential is not good" }
            }
        };
        if self.connection(key).is_some_and(|connection| connection.session.is_deciding()) {
            let reason = self.refuse(key, rejected);
            self.close(key, &reason);
        }
    }

    /// Reads a connection again for which somebody else has answered.
    pub(crate) fn go_on(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.connection(key) {
            connection.is_held = false;
            // What came meanwhile may lie in `carry`, and its edge is gone.
            connection.is_blocked = true;
        }
        self.queue(key);
    }

    fn refuse(&mut self, key: ConnectionKey, rejected: Rejected) -> CloseReason {
        if let Some(connection) = self.connection(key) {
            let mut out = Vec::new();
            connection.session.refuse(rejected.refusal, &mut out);
            // The connection ends in any case.
            drop(outbound::send(connection, &out, &mut Vec::new()));
        }
        CloseReason::Refused(rejected.why)
    }

    /// Hands a connection over to the shard that its device lives on. What came behind its CONNECT is in `carry`.
    pub(crate) fn move_away(&mut self, key: ConnectionKey, shard: usize, introduction: Introduction) {
        if self.connection(key).is_none() {
            return;
        }
        let mut connection = self.connections.remove(usize::try_from(key.slot).unwrap_or(usize::MAX));
        if self.registry.deregister(&mut connection.stream).is_err() {
            return;
        }
        let moved = Box::new(Moved { connection, introduction });
        let sent = self.peers.get(shard).map(|peer| peer.send(Command::Adopt(moved)));
        if let Some(Err(Command::Adopt(mut moved))) = sent {
            let mut out = Vec::new();
            moved.connection.session.refuse(Refusal::ServerBusy, &mut out);
            drop(outbound::send(&mut moved.connection, &out, &mut Vec::new()));
            let may_log = self.desk.may_log();
            let reason = CloseReason::Refused("the device's shard is overrun");
            events::connection_closed(&reason, None, moved.connection.stream.peer(), may_log);
        }
    }

    /// Takes a connection from another shard and judges its CONNECT.
    pub(crate) fn adopt(&mut self, moved: Moved) {
        let Moved { mut connection, introduction } = moved;
        let now = self.desk.clock.seconds();
        connection.is_queued = false;
        // What came behind CONNECT waits in `carry`.
        connection.is_blocked = true;
        // Every shard has its own clock.
        connection.heard_at = now;
        connection.expires_at = now.saturating_add(self.desk.config.connect_seconds_max);
        let key = match self.take_in(connection) {
            Ok(key) => key,
            Err(error) => return events::accept_failed(self.desk.shard.0, &error),
        };
        match self.judge(key, introduction, true) {
            Ok(Standing::Open) => self.queue(key),
            Ok(_) => {}
            Err(reason) => self.close(key, &reason),
        }
    }
}

/// The id that the server gives to a client that brought none.
fn client_id(owner: Option<&Owner>, greeting: Greeting) -> Option<String> {
    owner.filter(|_| greeting.assigned_client_id).map(|owner| owner.name.to_string())
}

/// Seconds of silence that end a session.
fn silence_max(keep_alive_seconds: u16) -> u32 {
    //= [MQTT-3.1.2-24]
    let silence = u32::from(keep_alive_seconds).saturating_mul(3).div_ceil(2);
    if silence == 0 { SILENCE_SECONDS_MAX } else { silence.min(SILENCE_SECONDS_MAX) }
}
