//! What a connection writes: CONNECT and PUBLISH of a device, built from the settings into the thread's buffers.
//! - Hot path: `Drafts::publish`; its buffers only grow.

use std::fmt::Write as _;

use millrace_protocols_mqtt::client::{self, ConnectOptions, PublishOptions};

use crate::engine::settings::Settings;
use crate::engine::template::Variables;
use crate::plan::StampPlace;
use crate::stamp;

/// Scratch buffers of a thread.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    body: Vec<u8>,
    object: Vec<u8>,
    stamp: Vec<u8>,
    topic: String,
}

/// One message to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    /// Number of the connection within its process.
    pub(crate) connection: u64,
    /// Device id.
    pub(crate) device_id: &'a str,
    /// Topic with the common properties.
    pub(crate) topic: &'a str,
    /// Number of the message.
    pub(crate) sequence: u64,
    /// `None`: QoS 0.
    pub(crate) packet_id: Option<u16>,
    /// Sent before.
    pub(crate) dup: bool,
    /// UNIX time.
    pub(crate) now_ns: u64,
}

/// Appends the CONNECT of a device.
pub(crate) fn connect(settings: &Settings, index: usize, device_id: &str, now_seconds: u64, out: &mut Vec<u8>) {
    let credentials = settings.fleet.credentials(&settings.plan, index, device_id, now_seconds);
    let options = ConnectOptions {
        version: settings.version,
        client_id: device_id,
        user_name: credentials.user_name.as_deref(),
        password: credentials.password.as_deref(),
        keep_alive_seconds: settings.plan.keep_alive_seconds,
        clean_start: settings.plan.clean_start,
    };
    client::encode_connect(&options, out);
}

impl Drafts {
    /// Appends the PUBLISH of a message.
    pub(crate) fn publish(&mut self, settings: &Settings, message: &Outgoing<'_>, out: &mut Vec<u8>) {
        let variables = Variables {
            device_id: message.device_id,
            device_number: settings.plan.device_first.wrapping_add(message.connection),
            sequence: message.sequence,
            now_ns: message.now_ns,
            seed: settings.plan.seed,
        };
        settings.bodies.write(message.connection, &variables, settings.stamping, &mut self.object, &mut self.body);
        let stamped = settings.stamping.place == StampPlace::Property;
        if stamped {
            self.stamp.clear();
            let run = settings.stamping.run;
            stamp::write(run, message.device_id, message.sequence, &self.body, &mut self.stamp);
        }
        let in_topic = stamped && settings.plan.topic.is_none();
        if in_topic {
            self.write_topic(message.topic, !settings.bag.is_empty());
        }
        let stamp = std::str::from_utf8(&self.stamp).unwrap_or_default();
        let packet = |user_properties: &[(&str, &str)], out: &mut Vec<u8>| {
            let options = PublishOptions {
                version: settings.version,
                topic: if in_topic { &self.topic } else { message.topic },
                packet_id: message.packet_id,
                dup: message.dup,
                payload: &self.body,
                user_properties,
            };
            client::encode_publish(&options, out);
        };
        if settings.user_properties.is_empty() && (in_topic || !stamped) {
            return packet(&[], out);
        }
        let common = settings.user_properties.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let own = (stamped && !in_topic).then_some((stamp::NAME, stamp));
        packet(&common.chain(own).collect::<Vec<_>>(), out);
    }

    fn write_topic(&mut self, topic: &str, has_bag: bool) {
        self.topic.clear();
        self.topic.push_str(topic);
        self.topic.push_str(if has_bag { "&" } else { "" });
        let stamp = std::str::from_utf8(&self.stamp).unwrap_or_default();
        // Writing to a string can't fail.
        write!(self.topic, "{}={stamp}", stamp::NAME).unwrap_or_default();
    }
}
