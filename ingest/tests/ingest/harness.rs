//! A whole ingest tier on free loopback ports with a registry in memory, and a client that speaks raw bytes.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_ingest::{
    AcknowledgeLevel, Directory, Doorway, Found, Ingest, IngestConfig, ListenerConfig, Listeners, PolicyKeys, Proof,
    QuotasConfig, Transport, Wiring,
};
use millrace_journal::{Journal, JournalConfig, Reader};
use millrace_model::door::{Control, Provisioning};
use millrace_model::{Batch, Offset, ShardId};
use millrace_protocols_identity::x509::Authorities;
use millrace_protocols_identity::{Key, sas};
use millrace_protocols_mqtt::Version;
use millrace_protocols_mqtt::client::{self, ConnectOptions, PublishOptions, ServerPacket};

use crate::asked::Asked;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Devices by name; modules as `device/module`.
#[derive(Default)]
pub(crate) struct Devices {
    found: Mutex<HashMap<String, Found>>,
    authorities: Mutex<Arc<Authorities>>,
}

impl Devices {
    pub(crate) fn add(&self, name: &str, enabled: bool) {
        self.add_with(name, enabled, Proof::Keys(Arc::new([key(name), key("secondary")])));
    }

    pub(crate) fn trust(&self, authorities: Authorities) {
        *self.authorities.lock().unwrap() = Arc::new(authorities);
    }

    pub(crate) fn add_with(&self, name: &str, enabled: bool, proof: Proof) {
        let found = Found { enabled, generation_id: "1".into(), proof };
        self.found.lock().unwrap().insert(name.to_owned(), found);
    }
}

impl Directory for Devices {
    fn find(&self, device_id: &str, module_id: Option<&str>) -> Option<Found> {
        let name = module_id.map_or_else(|| device_id.to_owned(), |module| format!("{device_id}/{module}"));
        self.found.lock().unwrap().get(&name).cloned()
    }

    fn policy(&self, _: &str) -> Option<PolicyKeys> {
        None
    }

    fn authorities(&self) -> Arc<Authorities> {
        Arc::clone(&self.authorities.lock().unwrap())
    }
}

pub(crate) fn key(name: &str) -> Key {
    Key::from_bytes(format!("{name:-<32}").as_bytes()).unwrap()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token as the Python SDK makes it.
pub(crate) fn token(name: &str, expiry: u64) -> String {
    let path = name.replace('/', "%2Fmodules%2F");
    sas::sign(&format!("localhost%2Fdevices%2F{path}"), &key(name), expiry, None)
}

pub(crate) struct Hub {
    pub(crate) devices: Arc<Devices>,
    pub(crate) ingest: Option<Ingest>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) doorway: Doorway,
    readers: Vec<Reader>,
    journals: Vec<Journal>,
    _directory: tempfile::TempDir,
}

pub(crate) struct HubOptions {
    pub(crate) shards: u16,
    pub(crate) journal: JournalConfig,
    pub(crate) connect_seconds_max: u32,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) acknowledge: AcknowledgeLevel,
    pub(crate) control: Option<Arc<Asked>>,
    pub(crate) has_provisioning: bool,
    pub(crate) connection_events: bool,
    pub(crate) quotas: QuotasConfig,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            shards: 2,
            journal: JournalConfig::default(),
            connect_seconds_max: 10,
            tls: None,
            acknowledge: AcknowledgeLevel::Disk,
            control: None,
            has_provisioning: false,
            connection_events: false,
            quotas: QuotasConfig::default(),
        }
    }
}

impl Hub {
    pub(crate) fn start(options: HubOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journals: Vec<Journal> = (0..options.shards)
            .map(|shard| Journal::open(ShardId(shard), directory.path(), &options.journal).unwrap().0)
            .collect();
        let transport = if options.tls.is_some() { Transport::Tls } else { Transport::Tcp };
        let listener =
            ListenerConfig { address: "127.0.0.1:0".parse().unwrap(), transport, acknowledge: options.acknowledge };
        let config = IngestConfig {
            shards: options.shards,
            listeners: vec![listener],
            connections_max: 10_000,
            connect_seconds_max: options.connect_seconds_max,
            host_names: vec!["localhost".to_owned()],
            connection_events: Some(options.connection_events),
            quotas: options.quotas,
            ..IngestConfig::default()
        };
        let listeners = Listeners::bind(&config).unwrap();
        let addresses = listeners.addresses().iter().map(|(_, address)| *address).collect();
        let devices = Arc::new(Devices::default());
        let doorway = Doorway::open(options.shards).unwrap();
        if let Some(control) = &options.control {
            control.attach(doorway.clone());
        }
        let registry = Arc::<Devices>::clone(&devices);
        let wiring = Wiring {
            tls: options.tls.map(|tls| Arc::new(arc_swap::ArcSwap::new(tls))),
            control: options.control.clone().map(|control| -> Arc<dyn Control> { control }),
            provisioning: options
                .control
                .filter(|_| options.has_provisioning)
                .map(|it| -> Arc<dyn Provisioning> { it }),
            doorway: Some(doorway.clone()),
            ..Wiring::telemetry(registry, journals.clone())
        };
        let ingest = Some(Ingest::start(config, listeners, wiring).unwrap());
        let readers = journals.iter().map(|journal| journal.reader(Offset(0))).collect();
        Self { devices, ingest, addresses, doorway, readers, journals, _directory: directory }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(TcpStream::connect(self.addresses[0]).unwrap())
    }

    /// A client whose CONNECT was accepted.
    pub(crate) fn connected(&self, name: &str, version: Version) -> Client {
        self.devices.add(name, true);
        let mut client = self.client();
        client.connect(name, version, &token(name, now() + 60), 60);
        assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }), "{name}");
        client
    }

    /// The next batch that any journal has made durable.
    pub(crate) fn batch(&mut self) -> Arc<Batch> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            for reader in &mut self.readers {
                if let Some(batch) = reader.next().unwrap() {
                    return batch;
                }
            }
            std::thread::yield_now();
        }
        panic!("nothing came into the journal");
    }

    /// Ends a hub whose journals can write nothing: that is an error, and said.
    pub(crate) fn abandon(mut self) {
        self.ingest.take().unwrap().drain(Instant::now()).unwrap();
        for journal in self.journals.drain(..) {
            journal.close().unwrap_err();
        }
    }

    /// Whether no more is in the journals than was read.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.readers.iter_mut().all(|reader| reader.next().unwrap().is_none())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(ingest) = self.ingest.take() {
            ingest.drain(Instant::now() + PATIENCE).unwrap();
        }
        for journal in self.journals.drain(..) {
            journal.close().unwrap();
        }
    }
}

/// What the hub says, as far as the tests look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    ConnAck { code: u8 },
    PubAck { packet_id: u16 },
    SubAck { packet_id: u16 },
    Disconnect { reason: u8 },
    Other,
}

/// A message of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) packet_id: u16,
    pub(crate) dup: bool,
}

/// Speaks to the hub over any byte stream.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) version: Version,
    received: Vec<u8>,
}

impl Client<TcpStream> {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, version: Version::V311, received: Vec::new() }
    }
}

impl<S: std::io::Read + std::io::Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, version: Version::V311, received: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn connect(&mut self, name: &str, version: Version, token: &str, keep_alive_seconds: u16) {
        self.version = version;
        self.send(&connect_bytes(name, version, token, keep_alive_seconds));
    }

    pub(crate) fn publish(&mut self, topic: &str, packet_id: Option<u16>, payload: &[u8]) {
        let mut bytes = Vec::new();
        let options =
            PublishOptions { version: self.version, topic, packet_id, dup: false, payload, user_properties: &[] };
        client::encode_publish(&options, &mut bytes);
        self.send(&bytes);
    }

    pub(crate) fn subscribe(&mut self, packet_id: u16, filters: &[(&str, u8)]) {
        let mut bytes = Vec::new();
        client::encode_subscribe(self.version, packet_id, filters, &mut bytes);
        self.send(&bytes);
    }

    pub(crate) fn acknowledge(&mut self, packet_id: u16) {
        let mut bytes = Vec::new();
        client::encode_puback(packet_id, &mut bytes);
        self.send(&bytes);
    }

    /// The next packet; `None` when the hub has closed.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        self.packet(|packet| match packet {
            ServerPacket::ConnAck { code, .. } => Answer::ConnAck { code },
            ServerPacket::PubAck { packet_id, .. } => Answer::PubAck { packet_id },
            ServerPacket::SubAck { packet_id } => Answer::SubAck { packet_id },
            ServerPacket::Disconnect { reason } => Answer::Disconnect { reason },
            _ => Answer::Other,
        })
    }

    /// The next packet, which is a message of the hub.
    pub(crate) fn hear(&mut self) -> Heard {
        let heard = self.packet(|packet| match packet {
            ServerPacket::Publish { topic, payload, qos, packet_id, dup } => {
                Heard { topic: topic.to_owned(), payload: payload.to_vec(), qos, packet_id, dup }
            }
            other => panic!("not a message: {other:?}"),
        });
        heard.unwrap()
    }

    /// What `look` makes of the next packet; `None` when the hub has closed.
    pub(crate) fn packet<T>(&mut self, mut look: impl FnMut(ServerPacket<'_>) -> T) -> Option<T> {
        loop {
            let mut input = self.received.as_slice();
            let packet = client::next_server_packet(self.version, 1 << 20, &mut input).unwrap();
            let answer = packet.map(&mut look);
            let rest = input.len();
            self.received.drain(..self.received.len() - rest);
            if answer.is_some() {
                return answer;
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) if self.received.is_empty() => return None,
                Ok(0) => panic!("closed in the middle of a packet"),
                Ok(bytes) => self.received.extend_from_slice(&chunk[..bytes]),
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        while let Some(answer) = self.answer() {
            assert!(!matches!(answer, Answer::PubAck { .. }), "acknowledged instead of closed");
        }
        true
    }
}

pub(crate) fn connect_bytes(name: &str, version: Version, token: &str, keep_alive_seconds: u16) -> Vec<u8> {
    let user_name = format!("localhost/{name}/?api-version=2021-04-12");
    let mut bytes = Vec::new();
    let options = ConnectOptions {
        version,
        client_id: name,
        user_name: Some(&user_name),
        password: Some(token.as_bytes()),
        keep_alive_seconds,
        clean_start: false,
    };
    client::encode_connect(&options, &mut bytes);
    bytes
}

pub(crate) fn telemetry_topic(name: &str) -> String {
    format!("devices/{name}/messages/events/")
}
