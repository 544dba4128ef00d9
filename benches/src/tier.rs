//! A whole ingest tier on loopback, and a client that keeps a window of unacknowledged messages on each of its connections.
//! - Shape: one shard with its journal, synced before anything is acknowledged; one client thread with blocking sockets.
//! - Invariants: the client does nothing but count PUBACKs and send as many messages again, so nearly all CPU is the server's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use millrace_ingest::{
    AcknowledgeLevel, Directory, Found, Ingest, IngestConfig, ListenerConfig, Listeners, PolicyKeys, Proof, Transport,
    Wiring,
};
use millrace_journal::{Journal, JournalConfig};
use millrace_model::Timestamp;
use millrace_protocols_identity::{Key, sas};
use millrace_protocols_mqtt::Version;
use millrace_protocols_mqtt::client::{self, ConnectOptions};

use crate::inputs::{self, FRAME_BYTES, SHARD};

const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN_SECONDS: u64 = 3600;
const PUBACK_BYTES: usize = 4;
const KEY: [u8; 32] = *b"the same key for all the devices";

/// The server side; drained and removed when dropped.
#[derive(Debug)]
pub struct Tier {
    ingest: Option<Ingest>,
    journal: Option<Journal>,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

/// Every device exists and has the same key.
#[derive(Debug)]
struct OneKey(Arc<[Key; 2]>);

impl Directory for OneKey {
    fn find(&self, _device_id: &str, _module_id: Option<&str>) -> Option<Found> {
        Some(Found { enabled: true, generation_id: "1".into(), proof: Proof::Keys(Arc::clone(&self.0)) })
    }

    fn policy(&self, _name: &str) -> Option<PolicyKeys> {
        None
    }
}

impl Tier {
    /// Starts one shard on a free port.
    ///
    /// # Errors
    /// When port or directory cannot be had.
    pub fn start(acknowledge: AcknowledgeLevel) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let (journal, _) = Journal::open(SHARD, directory.path(), &JournalConfig::default())?;
        let listener =
            ListenerConfig { address: SocketAddr::from(([127, 0, 0, 1], 0)), transport: Transport::Tcp, acknowledge };
        let config = IngestConfig { listeners: vec![listener], connections_max: 1_000, ..IngestConfig::default() };
        let listeners = Listeners::bind(&config)?;
        let &(_, address) = listeners.addresses().first().context("no listener")?;
        let keys = Arc::new([key()?, key()?]);
        let wiring = Wiring::telemetry(Arc::new(OneKey(keys)), vec![journal.clone()]);
        let ingest = Ingest::start(config, listeners, wiring)?;
        Ok(Self { ingest: Some(ingest), journal: Some(journal), address, _directory: directory })
    }

    /// Gives back the disk space of what is durable, as if all sinks had taken it.
    pub fn trim(&self) {
        if let Some(journal) = &self.journal {
            journal.trim(journal.durable().offset());
        }
    }
}

impl Drop for Tier {
    fn drop(&mut self) {
        // A bench has its figures by now; there is nobody to tell.
        if let Some(ingest) = self.ingest.take() {
            drop(ingest.drain(Instant::now() + PATIENCE));
        }
        if let Some(journal) = self.journal.take() {
            drop(journal.close());
        }
    }
}

/// Connections of one client thread.
#[derive(Debug)]
pub struct Client {
    connections: Vec<Connection>,
}

/// One device.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Two windows of PUBLISH frames one after the other, so that no burst has to be sent in two pieces.
    frames: Vec<u8>,
    window: usize,
    /// The frame of the window that comes next.
    next: usize,
    in_flight: usize,
    /// Bytes of a PUBACK whose rest has not come.
    carry: usize,
}

impl Client {
    /// Connects `connections` devices.
    ///
    /// # Errors
    /// When one of them is refused.
    pub fn connect(tier: &Tier, connections: u64, window: u16) -> Result<Self> {
        let connections = (0..connections).map(|device| Connection::open(tier.address, device, window));
        Ok(Self { connections: connections.collect::<Result<_>>()? })
    }

    /// Publishes `messages`, always a window on each connection, and waits until all are acknowledged.
    ///
    /// # Errors
    /// When a connection breaks or the server says something else than PUBACK.
    pub fn publish(&mut self, messages: u64) -> Result<()> {
        let mut left = usize::try_from(messages)?;
        for connection in &mut self.connections {
            left -= connection.send(connection.window.min(left))?;
        }
        while self.connections.iter().any(|connection| connection.in_flight > 0) {
            for connection in &mut self.connections {
                let acknowledged = connection.receive()?;
                left -= connection.send(acknowledged.min(left))?;
            }
        }
        Ok(())
    }
}

impl Connection {
    fn open(address: SocketAddr, device: u64, window: u16) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = inputs::device_id(device);
        let token = sas::sign(&format!("localhost%2Fdevices%2F{name}"), &key()?, expiry(), None);
        let options = ConnectOptions {
            version: Version::V311,
            client_id: &name,
            user_name: Some(&format!("localhost/{name}/?api-version=2021-04-12")),
            password: Some(token.as_bytes()),
            keep_alive_seconds: 600,
            clean_start: true,
        };
        let mut bytes = Vec::new();
        client::encode_connect(&options, &mut bytes);
        stream.write_all(&bytes)?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        ensure!(answer == [0x20, 2, 0, 0], "CONNECT was refused: {answer:?}");
        let mut frames = Vec::new();
        for packet_id in (1..=window).chain(1..=window) {
            inputs::encode_publish(Version::V311, device, packet_id, &mut frames);
        }
        Ok(Self { stream, frames, window: usize::from(window), next: 0, in_flight: 0, carry: 0 })
    }

    fn send(&mut self, count: usize) -> Result<usize> {
        if count > 0 {
            let bytes = self.next * FRAME_BYTES..(self.next + count) * FRAME_BYTES;
            self.stream.write_all(self.frames.get(bytes).context("more than a window")?)?;
            self.next = (self.next + count) % self.window;
            self.in_flight += count;
        }
        Ok(count)
    }

    /// Waits for PUBACKs and counts them.
    fn receive(&mut self) -> Result<usize> {
        if self.in_flight == 0 {
            return Ok(0);
        }
        let mut chunk = [0; 4096];
        let length = self.stream.read(&mut chunk)?;
        ensure!(length > 0, "the server closed the connection");
        let bytes = self.carry + length;
        self.carry = bytes % PUBACK_BYTES;
        let acknowledged = bytes / PUBACK_BYTES;
        self.in_flight = self.in_flight.checked_sub(acknowledged).context("more PUBACKs than messages")?;
        Ok(acknowledged)
    }
}

fn key() -> Result<Key> {
    Ok(Key::from_bytes(&KEY)?)
}

/// A token made now outlives every bench.
fn expiry() -> u64 {
    u64::try_from(Timestamp::from(SystemTime::now()).unix_seconds()).unwrap_or(0) + TOKEN_SECONDS
}
