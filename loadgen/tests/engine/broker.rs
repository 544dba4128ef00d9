//! A tiny closed broker for tests of the engine: answers CONNECT and PUBLISH, remembers what it acknowledged, and can misbehave.
//! - Shape: a thread per connection over a real socket of the loopback interface, on a free port.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How a broker behaves.
#[derive(Clone, Default)]
pub(crate) struct Behaviour {
    /// CONNACK code.
    pub(crate) connack: u8,
    /// Close a connection instead of answering its message of this number, once per connection and device.
    pub(crate) cut_at: Option<u64>,
    /// Wait before each acknowledgement.
    pub(crate) delay: Duration,
    /// Never acknowledge.
    pub(crate) silent: bool,
    /// Speak TLS.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// What it has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Bodies in the order of arrival, by client id.
    pub(crate) bodies: Mutex<BTreeMap<String, Vec<Vec<u8>>>>,
    /// Topic of the last message.
    pub(crate) topic: Mutex<String>,
    /// User name and password of the last CONNECT.
    pub(crate) credentials: Mutex<(String, Vec<u8>)>,
    /// CONNECTs.
    pub(crate) connects: AtomicU64,
    /// PUBLISHes with DUP.
    pub(crate) dups: AtomicU64,
    /// Source addresses.
    pub(crate) sources: Mutex<BTreeMap<String, u64>>,
    /// DISCONNECTs.
    pub(crate) goodbyes: AtomicU64,
}

/// A running broker; ends when dropped.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Broker {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || {
                for socket in listener.incoming() {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    let (socket, seen, behaviour) = (socket.unwrap(), Arc::clone(&seen), behaviour.clone());
                    std::thread::spawn(move || serve(socket, &seen, &behaviour));
                }
            })
        };
        Self { address, seen, stop, thread: Some(thread) }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(socket: TcpStream, seen: &Seen, behaviour: &Behaviour) {
    socket.set_nodelay(true).unwrap();
    let source = socket.peer_addr().unwrap().ip().to_string();
    *seen.sources.lock().unwrap().entry(source).or_default() += 1;
    let mut stream: Box<dyn Stream> = match &behaviour.tls {
        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), socket)),
        None => Box::new(socket),
    };
    let mut id = String::new();
    let mut is_v5 = false;
    while let Some((first, body)) = packet(&mut stream) {
        let answer = match first >> 4 {
            1 => {
                seen.connects.fetch_add(1, Ordering::AcqRel);
                is_v5 = body[6] == 5;
                id = connect(&body, is_v5, seen);
                if is_v5 { vec![0x20, 3, 0, behaviour.connack, 0] } else { vec![0x20, 2, 0, behaviour.connack] }
            }
            3 => match publish(first, &body, is_v5, &id, seen, behaviour) {
                Some(answer) => answer,
                None => return,
            },
            12 => vec![0xd0, 0],
            14 => {
                seen.goodbyes.fetch_add(1, Ordering::AcqRel);
                return;
            }
            _ => return,
        };
        if stream.write_all(&answer).and_then(|()| stream.flush()).is_err() {
            return;
        }
        if first >> 4 == 1 && behaviour.connack != 0 {
            return;
        }
    }
}

fn text(body: &[u8], at: &mut usize) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([body[*at], body[*at + 1]]));
    let text = body[*at + 2..*at + 2 + length].to_vec();
    *at += 2 + length;
    text
}

fn connect(body: &[u8], is_v5: bool, seen: &Seen) -> String {
    let flags = body[7];
    let mut at = 10;
    if is_v5 {
        at += 1 + usize::from(body[at]);
    }
    let id = String::from_utf8(text(body, &mut at)).unwrap();
    let user = if flags & 0x80 == 0 { Vec::new() } else { text(body, &mut at) };
    let password = if flags & 0x40 == 0 { Vec::new() } else { text(body, &mut at) };
    *seen.credentials.lock().unwrap() = (String::from_utf8(user).unwrap(), password);
    id
}

/// The answer; `None` to close the connection.
fn publish(first: u8, body: &[u8], is_v5: bool, id: &str, seen: &Seen, behaviour: &Behaviour) -> Option<Vec<u8>> {
    let mut at = 0;
    *seen.topic.lock().unwrap() = String::from_utf8(text(body, &mut at)).unwrap();
    let packet_id = (first & 0x06 != 0).then(|| [body[at], body[at + 1]]);
    at += if packet_id.is_some() { 2 } else { 0 };
    if is_v5 {
        at += 1 + usize::from(body[at]);
    }
    let is_again = first & 0x08 != 0;
    seen.dups.fetch_add(u64::from(is_again), Ordering::AcqRel);
    let count = {
        let mut bodies = seen.bodies.lock().unwrap();
        let bodies = bodies.entry(id.to_owned()).or_default();
        bodies.push(body[at..].to_vec());
        u64::try_from(bodies.len()).unwrap()
    };
    if behaviour.cut_at == Some(count) {
        return None;
    }
    if !behaviour.delay.is_zero() {
        std::thread::sleep(behaviour.delay);
    }
    match packet_id {
        Some([high, low]) if !behaviour.silent => Some(vec![0x40, 2, high, low]),
        _ => Some(Vec::new()),
    }
}

fn packet(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let first = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((first, body))
}
