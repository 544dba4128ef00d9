//! The door with real sockets: TLS, certificates, WebSockets, bounds on time and number. Also what other tests build on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use millrace_control::Received;
use millrace_ingest::{Directory, Found, PolicyKeys, Proof, server_config};
use millrace_model::door::{Full, Intake, Submission, Submitted};
use millrace_model::{HubError, IdentityName};
use millrace_protocols_identity::x509::ClientCertificates;
use millrace_protocols_identity::{Key, Thumbprint, sas};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use crate::device::{Commands, DeviceApi, Pending, Settlement};
use crate::{HttpsConfig, HttpsDoor, Security, Shards};

/// What a peer waits for at most.
const PATIENCE: Duration = Duration::from_secs(20);

// === what the door works with

/// Everything that the device API asks, as a test wants it.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) devices: Mutex<HashMap<String, Found>>,
    /// Devices that are known only after a refresh.
    pub(crate) elsewhere: Mutex<HashMap<String, Found>>,
    pub(crate) submitted: Mutex<Vec<Submission>>,
    pub(crate) held: Mutex<Vec<Submitted>>,
    pub(crate) holds: Mutex<bool>,
    /// So many submissions are taken, then no more.
    pub(crate) room: Mutex<usize>,
    pub(crate) waiting: Mutex<Vec<Received>>,
    pub(crate) settled: Mutex<Vec<(String, Settlement)>>,
}

pub(crate) fn key() -> Key {
    Key::from_bytes(&[b'k'; 32]).unwrap()
}

pub(crate) fn found(proof: Proof) -> Found {
    Found { enabled: true, generation_id: "1".into(), proof }
}

pub(crate) fn with_keys() -> Found {
    found(Proof::Keys(Arc::new([key(), key()])))
}

pub(crate) fn token(device_id: &str) -> String {
    let resource = format!("hub.example.net/devices/{}", sas::encode(device_id));
    sas::sign(&resource, &key(), 4_000_000_000, None)
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let world = Self { room: Mutex::new(usize::MAX), ..Self::default() };
        world.devices.lock().unwrap().insert("d1".to_owned(), with_keys());
        Arc::new(world)
    }

    pub(crate) fn router(self: &Arc<Self>) -> Router {
        DeviceApi {
            directory: self.clone(),
            host_names: Arc::from(["hub.example.net".to_owned()]),
            intake: self.clone(),
            commands: self.clone(),
            files: None,
        }
        .router()
    }
}

impl Directory for World {
    fn find(&self, device_id: &str, module_id: Option<&str>) -> Option<Found> {
        self.devices.lock().unwrap().get(device_id).filter(|_| module_id.is_none()).cloned()
    }

    fn policy(&self, _name: &str) -> Option<PolicyKeys> {
        None
    }
}

impl Intake for World {
    fn submit(&self, submission: Submission, done: Submitted) {
        let mut room = self.room.lock().unwrap();
        if *room == 0 {
            return done(Err(Full));
        }
        *room -= 1;
        self.submitted.lock().unwrap().push(submission);
        if *self.holds.lock().unwrap() {
            self.held.lock().unwrap().push(done);
        } else {
            done(Ok(()));
        }
    }
}

impl Commands for World {
    fn receive<'a>(&'a self, _name: &'a IdentityName, lock: Option<Duration>) -> Pending<'a, Option<Received>> {
        assert!(lock.is_none_or(|lock| lock >= Duration::from_secs(1)));
        Box::pin(async { Ok(self.waiting.lock().unwrap().pop()) })
    }

    fn settle<'a>(&'a self, _name: &'a IdentityName, lock_token: &'a str, how: Settlement) -> Pending<'a, ()> {
        Box::pin(async move {
            if lock_token == "old" {
                return Err(HubError::LOCK_LOST);
            }
            self.settled.lock().unwrap().push((lock_token.to_owned(), how));
            Ok(())
        })
    }

    fn refresh(&self) -> Pending<'_, ()> {
        Box::pin(async {
            let elsewhere = std::mem::take(&mut *self.elsewhere.lock().unwrap());
            self.devices.lock().unwrap().extend(elsewhere);
            Ok(())
        })
    }
}

/// Sends back what it is given.
struct Echo;

impl Shards for Echo {
    fn adopt(&self, stream: StdUnixStream, _peer: SocketAddr, _chain: Arc<[Vec<u8>]>) -> Result<(), Full> {
        let stream = tokio::net::UnixStream::from_std(stream).map_err(|_| Full)?;
        drop(tokio::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            drop(tokio::io::copy(&mut reader, &mut writer).await);
        }));
        Ok(())
    }
}

// === a door that runs

struct Open {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Open {
    async fn new(config: HttpsConfig, router: Router, security: Security) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = HttpsDoor::new(config, router, Some(Arc::new(Echo)));
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(door.serve(listener, security, async move { drop(stopped.await) }));
        Self { address, stop: Some(stop), serving }
    }

    async fn plain(config: HttpsConfig, router: Router) -> Self {
        Self::new(config, router, Security::Plain).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn close(&mut self) {
        drop(self.stop.take());
        tokio::time::timeout(PATIENCE, &mut self.serving).await.unwrap().unwrap();
    }
}

/// All that comes until the peer closes.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A peer that has enough may reset; what came before counts.
    drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap());
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(stream).await
}

fn quick() -> HttpsConfig {
    HttpsConfig {
        handshake_seconds: 1,
        idle_seconds: 1,
        body_seconds: 1,
        write_seconds: 1,
        drain_seconds: 5,
        ..HttpsConfig::default()
    }
}

fn telemetry(token: &str) -> String {
    format!(
        "POST /devices/d1/messages/events?api-version=2021-04-12 HTTP/1.1\r\nHost: hub.example.net\r\nAuthorization: {token}\r\n\
         iothub-app-Level: high\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
}

#[tokio::test]
async fn a_message_is_answered_when_it_is_safe() {
    let world = World::new();
    *world.holds.lock().unwrap() = true;
    let door = Open::plain(HttpsConfig::default(), world.router()).await;
    let mut stream = door.connect().await;
    stream.write_all(telemetry(&token("d1")).as_bytes()).await.unwrap();
    while world.held.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let early = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
    assert!(early.is_err(), "no answer before it is safe");
    let done = world.held.lock().unwrap().pop().unwrap();
    done(Ok(()));
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 204 No Content\r\n"));
    let submitted = world.submitted.lock().unwrap();
    assert_eq!((submitted[0].body.as_ref(), submitted[0].bag.as_slice()), (&b"hello"[..], &b"level=high"[..]));
    assert_eq!(submitted[0].identity.as_ref().device_id, "d1");
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_are_not_waited_for() {
    let door = Open::plain(quick(), World::new().router()).await;
    let started = tokio::time::Instant::now();
    assert!(!ask(&mut door.connect().await, "GET / HTTP/1.1\r\nHo").await.contains("200"));
    assert_eq!(ask(&mut door.connect().await, "").await, "", "nor for a first byte");
    let slow = telemetry(&token("d1")).replace("5\r\nhello\r\n0\r\n\r\n", "5\r\nhel");
    assert!(ask(&mut door.connect().await, &slow).await.starts_with("HTTP/1.1 400 "));
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn large_heads_and_bodies_are_refused() {
    let door = Open::plain(quick(), World::new().router()).await;
    let heads = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let mut stream = door.connect().await;
    drop(stream.write_all(heads.as_bytes()).await);
    assert!(!rest(&mut stream).await.contains(" 200 "));
    let claim = telemetry(&token("d1")).replace("Transfer-Encoding: chunked", "Content-Length: 10000000000");
    assert!(ask(&mut door.connect().await, &claim).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let config = HttpsConfig { connections_max: 1, ..HttpsConfig::default() };
    let door = Open::plain(config, World::new().router()).await;
    let mut first = door.connect().await;
    let request = "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n";
    first.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut first).await.starts_with("HTTP/1.1 404 "));
    let mut second = door.connect().await;
    drop(second.write_all(request.as_bytes()).await);
    assert_eq!(rest(&mut second).await, "");
    drop(first);
    // Its place becomes free once the door has noticed.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut third = door.connect().await;
        drop(third.write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await);
        if rest(&mut third).await.starts_with("HTTP/1.1 404 ") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn requests_under_way_end_before_the_door_closes() {
    let world = World::new();
    *world.holds.lock().unwrap() = true;
    let mut door = Open::plain(HttpsConfig::default(), world.router()).await;
    let (mut busy, mut idle) = (door.connect().await, door.connect().await);
    idle.write_all(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    drop(head(&mut idle).await);
    busy.write_all(telemetry(&token("d1")).as_bytes()).await.unwrap();
    while world.held.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(door.stop.take());
    drop(rest(&mut idle).await);
    assert!(!door.serving.is_finished(), "one is under way");
    let done = world.held.lock().unwrap().pop().unwrap();
    done(Ok(()));
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 204 "));
    door.close().await;
}

// === TLS

/// The server's settings, and a client's with or without a certificate.
fn tls(client: Option<&CertifiedKey<rcgen::KeyPair>>) -> (Security, TlsConnector) {
    let server = generate_simple_self_signed(["hub.example.net".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(server.signing_key.serialize_der()).unwrap();
    let config = server_config(vec![server.cert.der().clone()], key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let client: rustls::ClientConfig = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let key = PrivateKeyDer::try_from(client.signing_key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![client.cert.der().clone()], key).unwrap()
        }
    };
    (Security::Tls(Arc::new(ArcSwap::new(config))), TlsConnector::from(Arc::new(client)))
}

async fn shake(door: &Open, connector: &TlsConnector) -> tokio_rustls::client::TlsStream<TcpStream> {
    let name = ServerName::try_from("hub.example.net").unwrap();
    connector.connect(name, door.connect().await).await.unwrap()
}

fn thumbprint(der: &CertificateDer<'_>) -> Thumbprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    Thumbprint::from_bytes(digest.as_ref()).unwrap()
}

#[tokio::test]
async fn a_certificate_stands_for_a_token() {
    let (own, other) = (["a".to_owned()], ["b".to_owned()]);
    let (own, other) = (generate_simple_self_signed(own).unwrap(), generate_simple_self_signed(other).unwrap());
    let request = "GET /devices/x1/messages/devicebound HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for (client, status) in [(Some(&own), "204"), (Some(&other), "401"), (None, "401")] {
        let world = World::new();
        let proof = Proof::Thumbprints(Arc::new([None, Some(thumbprint(own.cert.der()))]));
        world.devices.lock().unwrap().insert("x1".to_owned(), found(proof));
        let (security, connector) = tls(client);
        let door = Open::new(HttpsConfig::default(), world.router(), security).await;
        let answer = ask(&mut shake(&door, &connector).await, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        // A device of certificates has no token, and the other way round.
        let with_token = request.replace("Host: h", &format!("Host: h\r\nAuthorization: {}", token("x1")));
        assert!(ask(&mut shake(&door, &connector).await, &with_token).await.starts_with("HTTP/1.1 401 "));
        let keyed = request.replace("x1", "d1");
        assert!(ask(&mut shake(&door, &connector).await, &keyed).await.starts_with("HTTP/1.1 401 "));
    }
}

#[tokio::test]
async fn handshakes_that_do_not_end_are_ended() {
    let (security, connector) = tls(None);
    let door = Open::new(HttpsConfig { handshakes_max: 1, ..quick() }, World::new().router(), security).await;
    assert!(ask(&mut door.connect().await, "GET / HTTP/1.1\r\n\r\n").await.is_ascii(), "no TLS");
    let mut silent = door.connect().await;
    assert_eq!(rest(&mut silent).await, "");
    let answer =
        ask(&mut shake(&door, &connector).await, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "the next one has its turn: {answer}");
}

#[tokio::test]
async fn silent_peers_do_not_keep_others_from_their_handshake() {
    let (security, connector) = tls(None);
    let config = HttpsConfig { handshakes_max: 1, handshake_seconds: 3_600, ..HttpsConfig::default() };
    let door = Open::new(config, World::new().router(), security).await;
    let mut silent = Vec::new();
    for greeting in [&b""[..], b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = door.connect().await;
        stream.write_all(greeting).await.unwrap();
        silent.push(stream);
    }
    let shaken = tokio::time::timeout(PATIENCE, shake(&door, &connector)).await;
    assert!(shaken.is_ok(), "they take no turn");
}

#[tokio::test]
async fn other_routers_see_the_peer() {
    async fn who(ConnectInfo(peer): ConnectInfo<SocketAddr>, chain: axum::Extension<ClientCertificates>) -> String {
        format!("{} {}", peer.ip(), chain.0.0.len())
    }
    let router = Router::new().route("/who", get(who)).route("/echo", post(|body: Bytes| async { body }));
    let client = generate_simple_self_signed(["a".to_owned()]).unwrap();
    let (security, connector) = tls(Some(&client));
    let door = Open::new(HttpsConfig::default(), World::new().router().merge(router), security).await;
    let mut stream = shake(&door, &connector).await;
    assert!(
        ask(&mut stream, "GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.ends_with("127.0.0.1 1")
    );
}

// === WebSockets

#[tokio::test]
async fn a_websocket_carries_bytes_to_a_shard_and_back() {
    let (security, connector) = tls(None);
    let door = Open::new(HttpsConfig::default(), World::new().router(), security).await;
    let mut stream = shake(&door, &connector).await;
    let request = "GET /$iothub/websocket?iothub-no-client-cert=true HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    // The first frame comes in one piece with the request.
    let first = [request.as_bytes(), &[0x82, 0x83, 0, 0, 0, 0, b'a', b'b', b'c']].concat();
    stream.write_all(&first).await.unwrap();
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    let mut frame = [0; 5];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x82\x03abc");
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    let mut close = [0; 4];
    stream.read_exact(&mut close).await.unwrap();
    assert_eq!(close, [0x88, 2, 0x03, 0xe8]);
}

#[tokio::test]
async fn amqp_in_a_websocket_is_refused_with_a_reason() {
    let door = Open::plain(quick(), World::new().router()).await;
    let request = "GET /$servicebus/websocket/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: AMQPWSB10\r\n\r\n";
    let answer = ask(&mut door.connect().await, request).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("MQTT over WebSocket is"), "{answer}");
}
