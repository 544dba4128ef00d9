//! Messages as a fleet sends them: 92-byte JSON bodies, device ids of 14 characters, PUBLISH frames of 138 bytes.
//! - Invariants: bodies differ from message to message as sensor readings do, so that nothing compresses better than in life.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use millrace_model::batch::IdentitySlot;
use millrace_model::identity::SAS_METHODS;
use millrace_model::{
    Batch, BatchBuilder, BatchColumns, Delivery, Identity, IdentityRef, MessageSource, Offset, Selection, ShardId,
    Timestamp,
};
use millrace_protocols_mqtt::client::{self, ConnectOptions, PublishOptions};
use millrace_protocols_mqtt::{Accept, Event, Limits, Session, Version};

/// Length of every body.
pub const BODY_BYTES: usize = 92;
/// Length of every PUBLISH of MQTT 3.1.1; one of MQTT 5 is a byte longer.
pub const FRAME_BYTES: usize = 138;
/// Messages of a batch: what some 60 devices with a window of 16 send in one turn of a shard.
pub const ROWS: u64 = 1_000;
/// The shard of all batches.
pub const SHARD: ShardId = ShardId(0);

/// No properties.
pub const PLAIN: &str = "";
/// Two application properties.
pub const TAGGED: &str = "site=north&level=3";
/// What a device says whose bodies routes may read.
pub const JSON: &str = "%24.ct=application%2Fjson&%24.ce=utf-8";
/// Eight properties, three of them the system's.
pub const FULL: &str =
    "%24.ct=application%2Fjson&%24.ce=utf-8&%24.mid=8c4f&site=north&level=3&line=7&unit=c&firmware=1.4.2";

/// How a device logs in whose token is signed with its own key.
const METHOD: &str = SAS_METHODS[1];

/// When the first message was accepted, milliseconds since 1970.
const START: i64 = 1_767_225_600_000;

/// A reading; `-` stands for a digit: of the sequence number first (units before tens), of noise then.
const READING: &[u8; BODY_BYTES] =
    br#"{"sequence":1-------,"temperature":2-.--,"humidity":4-.--,"pressure":10--.--,"battery":3.--}"#;
const SEQUENCE_DIGITS: u64 = 10_000_000;

/// The body of message `number`: JSON with a sequence number and four measurements. Costs next to nothing, so that it does not
/// hide the cost of what is done with it.
#[must_use]
pub fn body(number: u64) -> [u8; BODY_BYTES] {
    // 7 digits of the number, above them more digits of noise than the reading has room for.
    let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    let mut digits = noise * SEQUENCE_DIGITS + number % SEQUENCE_DIGITS;
    READING.map(|byte| {
        if byte != b'-' {
            return byte;
        }
        let [digit, ..] = (digits % 10).to_le_bytes();
        digits /= 10;
        b'0' + digit
    })
}

/// The id of a device.
#[must_use]
pub fn device_id(number: u64) -> String {
    format!("device-{number:07}")
}

/// Where a device publishes, with its properties.
#[must_use]
pub fn topic(device_id: &str, bag: &str) -> String {
    format!("devices/{device_id}/messages/events/{bag}")
}

/// The PUBLISH of one message with QoS 1.
pub fn encode_publish(version: Version, device: u64, packet_id: u16, out: &mut Vec<u8>) {
    let (topic, body) = (topic(&device_id(device), PLAIN), body(device.wrapping_add(u64::from(packet_id))));
    let options = PublishOptions {
        version,
        topic: &topic,
        packet_id: Some(packet_id),
        dup: false,
        payload: &body,
        user_properties: &[],
    };
    client::encode_publish(&options, out);
}

/// A connection whose CONNECT was accepted.
///
/// # Errors
/// When the session does not understand the client.
pub fn session(version: Version, limits: &Limits) -> Result<Session> {
    let mut session = Session::new();
    let mut bytes = Vec::new();
    let options = ConnectOptions {
        version,
        client_id: "device-0000001",
        user_name: None,
        password: None,
        keep_alive_seconds: 60,
        clean_start: true,
    };
    client::encode_connect(&options, &mut bytes);
    let Some(Event::Connect(_)) = session.next(limits, &mut bytes.as_slice())? else { bail!("no CONNECT") };
    let accept = Accept { session_present: false, assigned_client_id: None, keep_alive_seconds: 60 };
    session.accept(limits, &accept, &mut Vec::new());
    Ok(session)
}

/// Devices that publish in turn.
#[derive(Debug)]
pub struct Fleet {
    devices: Vec<(Identity, IdentitySlot)>,
    bag: &'static str,
    builder: BatchBuilder,
    next: u64,
}

impl Fleet {
    /// Devices that all send the same properties.
    ///
    /// # Errors
    /// Never for ids of [`device_id`].
    pub fn new(devices: u64, bag: &'static str) -> Result<Self> {
        let devices: Option<Vec<_>> =
            (0..devices).map(|number| Some((identity(number)?, IdentitySlot::default()))).collect();
        Ok(Self { devices: devices.context("identity")?, bag, builder: BatchBuilder::new(), next: 0 })
    }

    /// The next `rows` messages, a millisecond for every 100 of them.
    #[must_use]
    pub fn batch(&mut self, rows: u64) -> Batch {
        let base = Offset(self.next);
        for (number, row) in (self.next..).zip(0..rows) {
            let count = u64::try_from(self.devices.len()).unwrap_or(1);
            let device = usize::try_from(number % count).unwrap_or(0);
            let Some((identity, slot)) = self.devices.get_mut(device) else { break };
            let at = Timestamp(START + i64::try_from((base.0 + row) / 100).unwrap_or(0));
            let bag = [self.bag.as_bytes(), b""];
            self.builder.append(identity, slot, MessageSource::Telemetry, at, bag, &body(number));
        }
        self.next += rows;
        self.builder.seal(SHARD, base)
    }

    /// The same, for a sink that gets all of them.
    #[must_use]
    pub fn delivery(&mut self, rows: u64) -> Delivery {
        deliver_all(self.batch(rows))
    }

    /// `count` such batches.
    #[must_use]
    pub fn columns(&mut self, count: u64) -> Vec<BatchColumns> {
        (0..count).map(|_| self.batch(ROWS).columns().clone()).collect()
    }
}

/// A whole batch for one sink.
#[must_use]
pub fn deliver_all(batch: Batch) -> Delivery {
    let selected = Selection::all(batch.len());
    Delivery { batch: Arc::new(batch), selected, enrichments: Arc::new([]) }
}

/// Who device `number` is, once it has logged in with a token.
#[must_use]
pub fn identity(number: u64) -> Option<Identity> {
    Identity::new(&IdentityRef {
        device_id: &device_id(number),
        generation_id: "638700000000000000",
        auth_method: METHOD,
        ..IdentityRef::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_the_figures_say() {
        for number in [0, 1, 999_999, u64::MAX] {
            let body = body(number);
            let text = std::str::from_utf8(&body).unwrap();
            assert!(text.starts_with(r#"{"sequence":1"#) && !text.contains('-'), "{text}");
        }
        let (mut old, mut new) = (Vec::new(), Vec::new());
        encode_publish(Version::V311, 1, 1, &mut old);
        encode_publish(Version::V5, 1, 1, &mut new);
        assert_ne!(body(1), body(2));
        assert_eq!((old.len(), new.len()), (FRAME_BYTES, FRAME_BYTES + 1));
    }

    #[test]
    fn batches_follow_each_other() {
        let mut fleet = Fleet::new(10, FULL).unwrap();
        let (one, two) = (fleet.batch(25), fleet.batch(5));
        assert_eq!((one.len(), one.identities().count(), two.base()), (25, 10, one.end()));
        assert_eq!(two.message(0).unwrap().properties().len(), 8);
    }
}
