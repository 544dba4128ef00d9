//! A device on a plain socket: MQTT 3.1.1 written by hand, so that tests can also send what no client library sends, and see each
//! acknowledgement when it comes.
//! - Shape: one blocking socket; what arrives while something else is waited for is kept in its order.
//! - Errors: a connection that ended, or nothing within [`PATIENCE`].

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use millrace_protocols_identity::{Key, sas};
use serde_json::Value;

use crate::hub::PATIENCE;

/// The four filters of a device, its id in the last one.
#[must_use]
pub fn filters(id: &str) -> [String; 4] {
    [
        "$iothub/twin/res/#".to_owned(),
        "$iothub/twin/PATCH/properties/desired/#".to_owned(),
        "$iothub/methods/POST/#".to_owned(),
        format!("devices/{id}/messages/devicebound/#"),
    ]
}

/// Begins the topics of answers about twins.
pub const TWIN_ANSWER: &str = "$iothub/twin/res/";
/// Begins the topics of desired properties.
pub const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/";
/// Begins the topics of method calls.
pub const METHOD: &str = "$iothub/methods/POST/";

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Number to acknowledge, where that is wanted.
    pub packet: Option<u16>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Something that arrived.
#[derive(Debug)]
enum Packet {
    Connack { is_present: bool, code: u8 },
    Publish(Message),
    Acknowledged(u16),
    Subscribed(Vec<u8>),
    Other,
}

/// What became of a request about the twin.
#[derive(Debug, Clone)]
pub struct TwinAnswer {
    /// As in HTTP.
    pub status: u16,
    /// `$version` in the topic.
    pub version: Option<u64>,
    /// Its JSON, or null.
    pub body: Value,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Device {
    stream: TcpStream,
    unread: Vec<u8>,
    waiting: VecDeque<Message>,
    last_packet: u16,
    last_request: u64,
    id: String,
}

impl Device {
    /// A connection that has said nothing yet.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn dial(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            unread: Vec::new(),
            waiting: VecDeque::new(),
            last_packet: 0,
            last_request: 0,
            id: String::new(),
        })
    }

    /// A connected device of a hub called `localhost`; also says whether the hub knew its session.
    ///
    /// # Errors
    /// When the hub does not take it.
    pub fn connect(address: SocketAddr, id: &str, key: &Key) -> Result<(Self, bool)> {
        let mut device = Self::dial(address)?;
        let (is_present, code) = device.introduce(id, &user_name(id), &token(id, key), false)?;
        ensure!(code == 0, "CONNACK {code} for {id}");
        Ok((device, is_present))
    }

    /// Sends a CONNECT; answers session-present and return code.
    ///
    /// # Errors
    /// When the hub closes without a word.
    pub fn introduce(&mut self, client: &str, user: &str, password: &str, is_clean: bool) -> Result<(bool, u8)> {
        client.clone_into(&mut self.id);
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, if is_clean { 0xC2 } else { 0xC0 }, 0, 60];
        for text in [client, user, password] {
            string(&mut body, text.as_bytes())?;
        }
        self.send(&packet(0x10, &body)?)?;
        match self.next(PATIENCE)? {
            Some(Packet::Connack { is_present, code }) => Ok((is_present, code)),
            other => bail!("no CONNACK but {other:?}"),
        }
    }

    /// From now on a write fails that the hub does not take within this time.
    ///
    /// # Errors
    /// None.
    pub fn write_within(&mut self, time: Duration) -> Result<()> {
        Ok(self.stream.set_write_timeout(Some(time))?)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Publishes; with QoS 1 answers the packet's number.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn publish(&mut self, topic: &str, body: &[u8], is_acknowledged: bool) -> Result<Option<u16>> {
        self.publish_to(topic.as_bytes(), body, is_acknowledged)
    }

    /// Likewise, to a topic that may be no text.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn publish_to(&mut self, topic: &[u8], body: &[u8], is_acknowledged: bool) -> Result<Option<u16>> {
        let mut content = Vec::new();
        string(&mut content, topic)?;
        let number = is_acknowledged.then(|| self.packet_number());
        content.extend(number.into_iter().flat_map(u16::to_be_bytes));
        content.extend_from_slice(body);
        self.send(&packet(if is_acknowledged { 0x32 } else { 0x30 }, &content)?)?;
        Ok(number)
    }

    /// Sends telemetry and waits until it is acknowledged.
    ///
    /// # Errors
    /// See the module's documentation.
    pub fn telemetry(&mut self, body: &[u8]) -> Result<()> {
        let number = self.publish(&format!("devices/{}/messages/events/", self.id), body, true)?;
        self.until("a PUBACK", |packet| match packet {
            Packet::Acknowledged(acknowledged) if Some(*acknowledged) == number => Some(()),
            _ => None,
        })
    }

    /// Subscribes with QoS 1; answers what was granted.
    ///
    /// # Errors
    /// See the module's documentation.
    pub fn subscribe<T: AsRef<str>>(&mut self, filters: &[T]) -> Result<Vec<u8>> {
        let mut content = self.packet_number().to_be_bytes().to_vec();
        for filter in filters {
            string(&mut content, filter.as_ref().as_bytes())?;
            content.push(1);
        }
        self.send(&packet(0x82, &content)?)?;
        self.until("a SUBACK", |packet| match packet {
            Packet::Subscribed(granted) => Some(granted.clone()),
            _ => None,
        })
    }

    /// Asks for its twin.
    ///
    /// # Errors
    /// See the module's documentation.
    pub fn twin(&mut self) -> Result<TwinAnswer> {
        self.last_request += 1;
        self.publish(&format!("$iothub/twin/GET/?$rid={}", self.last_request), b"", false)?;
        self.twin_answer()
    }

    /// Patches its reported properties.
    ///
    /// # Errors
    /// See the module's documentation.
    pub fn report(&mut self, patch: &[u8]) -> Result<TwinAnswer> {
        self.report_if("", patch)
    }

    /// Likewise, with something behind the request's number, such as `&$version=3`.
    ///
    /// # Errors
    /// See the module's documentation.
    pub fn report_if(&mut self, condition: &str, patch: &[u8]) -> Result<TwinAnswer> {
        self.last_request += 1;
        let topic = format!("$iothub/twin/PATCH/properties/reported/?$rid={}{condition}", self.last_request);
        self.publish(&topic, patch, false)?;
        self.twin_answer()
    }

    fn twin_answer(&mut self) -> Result<TwinAnswer> {
        let rid = format!("$rid={}", self.last_request);
        loop {
            let message = self.message(TWIN_ANSWER)?;
            let rest = message.topic.strip_prefix(TWIN_ANSWER);
            let (status, query) = rest.and_then(|rest| rest.split_once("/?")).context("an odd topic")?;
            if !query.split('&').any(|pair| pair == rid) {
                continue;
            }
            let version = query.split('&').find_map(|pair| pair.strip_prefix("$version=")?.parse().ok());
            let body = serde_json::from_slice(&message.body).unwrap_or(Value::Null);
            return Ok(TwinAnswer { status: status.parse()?, version, body });
        }
    }

    /// The next message whose topic begins like that. Others stay for later.
    ///
    /// # Errors
    /// See the module's documentation.
    pub fn message(&mut self, prefix: &str) -> Result<Message> {
        self.message_within(prefix, PATIENCE)?.with_context(|| format!("no message of {prefix} in time"))
    }

    /// Likewise; `None` when there is none within `time`.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn message_within(&mut self, prefix: &str, time: Duration) -> Result<Option<Message>> {
        if let Some(at) = self.waiting.iter().position(|message| message.topic.starts_with(prefix)) {
            return Ok(self.waiting.remove(at));
        }
        let deadline = Instant::now() + time;
        while let Some(packet) = self.next(deadline.saturating_duration_since(Instant::now()))? {
            match packet {
                Packet::Publish(message) if message.topic.starts_with(prefix) => return Ok(Some(message)),
                Packet::Publish(message) => self.waiting.push_back(message),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Acknowledges a message: a command is completed by that.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn acknowledge(&mut self, message: &Message) -> Result<()> {
        let number = message.packet.context("nothing to acknowledge")?;
        self.send(&[&[0x40, 2], &number.to_be_bytes()[..]].concat())
    }

    /// Answers a method call with its own payload.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn answer(&mut self, call: &Message, status: u16) -> Result<()> {
        let (_, rid) = call.topic.split_once("?$rid=").context("no $rid")?;
        self.publish(&format!("$iothub/methods/res/{status}/?$rid={rid}"), &call.body, false)?;
        Ok(())
    }

    /// Waits until the hub has closed the connection; answers what it said before.
    ///
    /// # Errors
    /// When it does not.
    pub fn closed(&mut self) -> Result<Vec<Message>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now())) {
                Err(_) => return Ok(self.waiting.drain(..).collect()),
                Ok(None) => bail!("the hub does not close the connection of {}", self.id),
                Ok(Some(Packet::Publish(message))) => self.waiting.push_back(message),
                Ok(Some(_)) => {}
            }
        }
    }

    /// Ends the connection without a word.
    pub fn abort(self) {
        // It may have ended by itself.
        drop(self.stream.shutdown(Shutdown::Both));
    }

    fn packet_number(&mut self) -> u16 {
        self.last_packet = self.last_packet.checked_add(1).unwrap_or(1);
        self.last_packet
    }

    fn until<T>(&mut self, what: &str, wanted: impl Fn(&Packet) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let time = deadline.saturating_duration_since(Instant::now());
            let packet = self.next(time)?.with_context(|| format!("no {what} in time"))?;
            if let Some(found) = wanted(&packet) {
                return Ok(found);
            }
            if let Packet::Publish(message) = packet {
                self.waiting.push_back(message);
            }
        }
    }

    fn next(&mut self, time: Duration) -> Result<Option<Packet>> {
        let deadline = Instant::now() + time;
        loop {
            if let Some((first, content, length)) = whole(&self.unread)? {
                let packet = understood(first, content)?;
                self.unread.drain(..length);
                return Ok(Some(packet));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the hub closed the connection of {}", self.id),
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// User name of a device.
#[must_use]
pub fn user_name(id: &str) -> String {
    format!("localhost/{id}/?api-version=2021-04-12")
}

/// A token of a device that is good for long.
#[must_use]
pub fn token(id: &str, key: &Key) -> String {
    sas::sign(&sas::encode(&format!("localhost/devices/{id}")), key, 4_000_000_000, None)
}

fn string(out: &mut Vec<u8>, text: &[u8]) -> Result<()> {
    out.extend(u16::try_from(text.len())?.to_be_bytes());
    out.extend_from_slice(text);
    Ok(())
}

/// A packet with its length.
fn packet(first: u8, content: &[u8]) -> Result<Vec<u8>> {
    let mut out = vec![first];
    let mut left = u32::try_from(content.len())?;
    loop {
        let byte = u8::try_from(left % 128)?;
        left /= 128;
        out.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(content);
    Ok(out)
}

/// First byte, content and whole length of the first packet, once all of it is there.
fn whole(bytes: &[u8]) -> Result<Option<(u8, &[u8], usize)>> {
    let (mut length, mut at) = (0_usize, 1_usize);
    loop {
        let Some(byte) = bytes.get(at) else { return Ok(None) };
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
        ensure!(at < 5, "a length without end");
    }
    Ok(bytes.get(at..at + length).map(|content| (bytes[0], content, at + length)))
}

fn understood(first: u8, content: &[u8]) -> Result<Packet> {
    let number = |bytes: &[u8]| match bytes {
        [high, low, ..] => Ok(u16::from_be_bytes([*high, *low])),
        _ => bail!("a short packet"),
    };
    Ok(match (first >> 4, content) {
        (2, [flags, code]) => Packet::Connack { is_present: flags & 1 == 1, code: *code },
        (3, _) => {
            let length = usize::from(number(content)?);
            let topic = content.get(2..2 + length).context("a short topic")?;
            let rest = &content[2 + length..];
            let is_acknowledged = first & 0x06 != 0;
            let packet = is_acknowledged.then(|| number(rest)).transpose()?;
            let body = rest[if is_acknowledged { 2 } else { 0 }..].to_vec();
            Packet::Publish(Message { topic: String::from_utf8(topic.to_vec())?, packet, body })
        }
        (4, _) => Packet::Acknowledged(number(content)?),
        (9, [_, _, granted @ ..]) => Packet::Subscribed(granted.to_vec()),
        _ => Packet::Other,
    })
}
