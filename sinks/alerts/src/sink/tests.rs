//! The sink as a whole: batches in, requests out to a web server that is a thread of the test, kill and reopen.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Mutex, mpsc};

use millrace_model::batch::IdentitySlot;
use millrace_model::{BatchBuilder, Identity, IdentityRef, MessageSource, Selection};

use super::*;
use crate::event::PublishError;
use crate::{SIGNATURE_HEADER, signature};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
enum Answer {
    Status(u16),
    Close,
    Hang,
    Huge,
    Redirect,
}

#[derive(Debug, Clone)]
struct Request {
    headers: String,
    body: Vec<u8>,
}

impl Request {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        let line = self.headers.lines().find(|line| line.to_ascii_lowercase().starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1
    }
}

/// A web server that answers as told, then with 200. Stops when dropped.
struct Server {
    port: u16,
    requests: mpsc::Receiver<Request>,
    closing: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = mpsc::sync_channel(1 << 16);
        let closing = Arc::new(AtomicBool::new(false));
        let answers: Arc<Mutex<Vec<Answer>>> = Arc::new(Mutex::new(answers.iter().rev().copied().collect()));
        let stop = Arc::clone(&closing);
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if stop.load(Ordering::Acquire) {
                    break;
                }
                let (stop, answers, sender) = (Arc::clone(&stop), Arc::clone(&answers), sender.clone());
                connections.push(std::thread::spawn(move || {
                    // A connection that breaks is the client's affair.
                    drop(serve(stream.unwrap(), port, &answers, &sender, &stop));
                }));
            }
            connections.into_iter().for_each(|connection| connection.join().unwrap());
        });
        Self { port, requests, closing, thread: Some(thread) }
    }

    fn next(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(
    stream: TcpStream,
    port: u16,
    answers: &Mutex<Vec<Answer>>,
    sender: &mpsc::SyncSender<Request>,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    while let Some(request) = read_request(&mut input, stop)? {
        drop(sender.send(request));
        let answer = answers.lock().unwrap().pop().unwrap_or(Answer::Status(200));
        match answer {
            Answer::Status(code) => write!(out, "HTTP/1.1 {code} X\r\ncontent-length: 2\r\n\r\nok")?,
            Answer::Close => return Ok(()),
            Answer::Hang => {
                let mut rest = Vec::new();
                while !stop.load(Ordering::Acquire) && input.read_to_end(&mut rest).is_err() {}
                return Ok(());
            }
            Answer::Huge => {
                write!(out, "HTTP/1.1 200 X\r\ncontent-length: 1000000000000\r\n\r\n")?;
                while !stop.load(Ordering::Acquire) {
                    out.write_all(&[b'x'; 65_536])?;
                }
            }
            Answer::Redirect => {
                write!(out, "HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:{port}/other\r\ncontent-length: 0\r\n\r\n")?;
            }
        }
    }
    Ok(())
}

fn read_request(input: &mut BufReader<TcpStream>, stop: &AtomicBool) -> std::io::Result<Option<Request>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match input.read_until(b'\n', &mut head) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if stop.load(Ordering::Acquire) {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    }
    let headers = String::from_utf8(head).unwrap();
    let length =
        headers.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    input.get_ref().set_read_timeout(Some(PATIENCE))?;
    input.read_exact(&mut body)?;
    input.get_ref().set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok(Some(Request { headers, body }))
}

const RULES: &str = r#"
snapshot_interval_ms = 10
    [[rules]]
    name = "hot"
    value = "$.t"
    above = 30
    actions = ["hook"]
"#;

fn config(rules: &str, port: u16, more: &str) -> AlertsConfig {
    let hook = format!(
        "{rules}\n[webhooks.hook]\nurl = \"http://127.0.0.1:{port}/in\"\nsecret = \"k\"\nallow_private = true\n{more}"
    );
    toml::from_str(&hook).unwrap()
}

fn open(config: &AlertsConfig, directory: &Path) -> AlertsSink {
    AlertsSink::new("main", config, directory, HashMap::new()).unwrap()
}

/// A delivery of one message a device: (device, time in milliseconds, body).
fn delivery(base: u64, messages: &[(&str, i64, &str)]) -> Delivery {
    let mut builder = BatchBuilder::new();
    for (device_id, at, body) in messages {
        let identity = Identity::new(&IdentityRef { device_id, ..IdentityRef::default() }).unwrap();
        let slot = &mut IdentitySlot::default();
        builder.append(&identity, slot, MessageSource::Telemetry, Timestamp(*at), [b"", b""], body.as_bytes());
    }
    let batch = Arc::new(builder.seal(ShardId(0), Offset(base)));
    Delivery { selected: Selection::all(batch.len()), batch, enrichments: Arc::new([]) }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::yield_now();
    }
}

fn until_safe(sink: &mut AlertsSink, offset: u64) {
    until("safety", || {
        sink.poll(Instant::now()).unwrap();
        sink.safe(ShardId(0)) >= Offset(offset)
    });
}

#[test]
fn an_event_arrives_signed_and_is_retried_in_order() {
    let answers = [Answer::Status(500), Answer::Close, Answer::Hang, Answer::Status(429), Answer::Status(200)];
    let server = Server::start(&answers);
    let directory = tempfile::tempdir().unwrap();
    let mut sink = open(&config(RULES, server.port, "timeout_ms = 200\nretry_first_ms = 1"), directory.path());
    assert_eq!(sink.resume(ShardId(0), Offset(5)).unwrap(), Offset(5));
    let started = Instant::now();
    sink.deliver(&delivery(5, &[("d", 1000, "{\"t\":31}"), ("d", 2000, "{\"t\":1}"), ("d", 3000, "{\"t\":32}")]))
        .unwrap();
    assert!(started.elapsed() < Duration::from_millis(200), "a hanging server holds nobody up");
    let requests: Vec<Request> = (0..7).map(|_| server.next()).collect();
    let ids: Vec<&str> = requests.iter().map(|request| request.header("x-millrace-event")).collect();
    assert!(ids[..5].iter().all(|id| *id == ids[0]) && ids[5] != ids[0] && ids[6] != ids[0], "{ids:?}");
    let events: Vec<serde_json::Value> = requests[4..].iter().map(Request::json).collect();
    assert_eq!(events[0]["type"], "fired");
    assert_eq!((&events[0]["value"], &events[0]["source"]), (&31.0.into(), &"0:5".into()));
    assert_eq!((&events[1]["type"], &events[1]["alert"]), (&"cleared".into(), &events[0]["id"]));
    assert_eq!((&events[2]["type"], &events[2]["source"]), (&"fired".into(), &"0:7".into()));
    for request in &requests {
        let sent = request.header(SIGNATURE_HEADER);
        let seconds = sent.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(sent, signature(b"k", seconds, &request.body));
    }
    until("delivery", || sink.counters().delivered.load(Ordering::Relaxed) == 3);
    until_safe(&mut sink, 8);
}

#[test]
fn final_answers_redirects_and_huge_bodies_cost_one_event_at_most() {
    let server = Server::start(&[Answer::Status(400), Answer::Redirect, Answer::Huge]);
    let directory = tempfile::tempdir().unwrap();
    let mut sink = open(&config(RULES, server.port, ""), directory.path());
    for (number, device) in (0..).zip(["a", "b", "c", "d"]) {
        sink.deliver(&delivery(number, &[(device, 1000, "{\"t\":31}")])).unwrap();
    }
    let devices: Vec<String> = (0..4).map(|_| server.next().json()["device"].as_str().unwrap().to_owned()).collect();
    assert_eq!(devices, ["a", "b", "c", "d"]);
    let counters = sink.counters();
    until("delivery", || counters.delivered.load(Ordering::Relaxed) == 2);
    assert_eq!(counters.failed.load(Ordering::Relaxed), 2);
    assert!(server.requests.try_recv().is_err(), "the redirect was not followed");
}

#[test]
fn a_dead_target_fills_its_queue_and_nothing_else() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let rules = format!("queue_events_max = 10{RULES}");
    let mut sink = open(&config(&rules, port, "retry_first_ms = 3600000\nretry_pause_ms = 3600000"), directory.path());
    let devices: Vec<String> = (0..100).map(|number| format!("d{number}")).collect();
    let messages: Vec<(&str, i64, &str)> = devices.iter().map(|device| (device.as_str(), 1000, "{\"t\":31}")).collect();
    sink.deliver(&delivery(0, &messages)).unwrap();
    let counters = sink.counters();
    assert_eq!((counters.fired.load(Ordering::Relaxed), counters.failed.load(Ordering::Relaxed)), (100, 90));
    assert_eq!(sink.waiting(), [("hook".to_owned(), 10)]);
    sink.drain(Instant::now() + PATIENCE).unwrap();
    assert_eq!(sink.safe(ShardId(0)), Offset(100), "what waits is durable");
}

#[test]
fn what_a_killed_sink_had_not_sent_goes_out_after_it_is_opened_again() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let window = "\n[[rules]]\nname = \"busy\"\nkind = \"window\"\naggregate = \"count\"\nseconds = 60\nabove = 4\nactions = [\"hook\"]";
    let rules = format!("{RULES}{window}");
    let mut sink = open(&config(&rules, dead, ""), directory.path());
    sink.resume(ShardId(0), Offset(0)).unwrap();
    sink.deliver(&delivery(0, &[("d", 1000, "{\"t\":31}"), ("d", 2000, "{\"t\":32}")])).unwrap();
    until_safe(&mut sink, 2);
    // A copy of the file as kill -9 leaves it: what comes after is lost with the process.
    let killed = tempfile::tempdir().unwrap();
    std::fs::copy(directory.path().join("main.state"), killed.path().join("main.state")).unwrap();
    sink.deliver(&delivery(2, &[("d", 3000, "{\"t\":33}")])).unwrap();
    drop(sink);

    let server = Server::start(&[]);
    let mut sink = open(&config(&rules, server.port, ""), killed.path());
    let fired = server.next().json();
    assert_eq!((&fired["rule"], &fired["source"], &fired["type"]), (&"hot".into(), &"0:0".into(), &"fired".into()));
    assert_eq!(sink.resume(ShardId(0), Offset(0)).unwrap(), Offset(2));
    // Rows 0 and 1 come again in one batch with new ones: applied once, the fifth message fires.
    let again =
        [("d", 1000, "{\"t\":31}"), ("d", 2000, "{\"t\":32}"), ("d", 3000, "{\"t\":33}"), ("d", 4000, "{\"t\":34}")];
    sink.deliver(&delivery(0, &again)).unwrap();
    assert_eq!(sink.counters().fired.load(Ordering::Relaxed), 0);
    sink.deliver(&delivery(4, &[("d", 5000, "{\"t\":1}")])).unwrap();
    let events = [server.next().json(), server.next().json()];
    assert_eq!((&events[0]["type"], &events[0]["alert"]), (&"cleared".into(), &fired["id"]));
    assert_eq!((&events[1]["rule"], &events[1]["value"]), (&"busy".into(), &5.0.into()));
}

#[test]
fn silence_survives_a_restart_and_waits_while_a_shard_lags() {
    let server = Server::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let rules =
        "snapshot_interval_ms = 10\n[[rules]]\nname = \"gone\"\nkind = \"silence\"\nseconds = 60\nactions = [\"hook\"]";
    let config = config(rules, server.port, "");
    let now = Arc::new(AtomicI64::new(1_000_000));
    let opened = |now: &Arc<AtomicI64>| {
        let now = Arc::clone(now);
        let clock = Box::new(move || Timestamp(now.load(Ordering::Relaxed)));
        let mut sink = AlertsSink::with_clock("main", &config, directory.path(), HashMap::new(), clock).unwrap();
        let durable = Arc::new(Watermark::new(Offset(1)));
        sink.follow(ShardId(0), Arc::clone(&durable));
        sink.resume(ShardId(0), Offset(0)).unwrap();
        (sink, durable)
    };
    let (mut sink, durable) = opened(&now);
    sink.deliver(&delivery(0, &[("../../d", 1_000_000, "")])).unwrap();
    now.store(1_030_000, Ordering::Relaxed);
    sink.poll(Instant::now()).unwrap();
    sink.drain(Instant::now() + PATIENCE).unwrap();
    drop((sink, durable));

    now.store(5_000_000, Ordering::Relaxed);
    let (mut sink, durable) = opened(&now);
    durable.advance(Offset(2));
    now.store(5_031_000, Ordering::Relaxed);
    sink.poll(Instant::now()).unwrap();
    assert_eq!(sink.counters().fired.load(Ordering::Relaxed), 0, "a message that is not yet seen may be the device's");
    sink.deliver(&delivery(1, &[("other", 5_030_000, "")])).unwrap();
    sink.poll(Instant::now()).unwrap();
    let fired = server.next().json();
    assert_eq!(
        (&fired["device"], &fired["type"], &fired["source"]),
        (&"../../d".into(), &"fired".into(), &"0:0".into())
    );
    assert!(fired["value"].is_null() && fired["window"]["seconds"] == 60);
    sink.drain(Instant::now() + PATIENCE).unwrap();
    drop(sink);

    let (mut sink, _durable) = opened(&now);
    sink.deliver(&delivery(2, &[("../../d", 5_032_000, "")])).unwrap();
    let cleared = server.next().json();
    assert_eq!((&cleared["type"], &cleared["alert"]), (&"cleared".into(), &fired["id"]));
}

struct Publisher {
    sender: mpsc::SyncSender<(Vec<u8>, Vec<u8>)>,
    refusals: Mutex<u32>,
}

impl EventPublisher for Publisher {
    fn publish(&self, key: &[u8], payload: &[u8]) -> Result<(), PublishError> {
        let mut left = self.refusals.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Err(PublishError::Unavailable("not now".to_owned()));
        }
        self.sender.send((key.to_vec(), payload.to_vec())).map_err(|error| PublishError::Refused(error.to_string()))
    }
}

#[test]
fn a_topic_gets_events_under_the_device_id() {
    let directory = tempfile::tempdir().unwrap();
    let text = RULES.replace("\"hook\"", "\"bus\", \"log\"") + "[topics.bus]\nkafka = \"main\"\ntopic = \"alerts\"";
    let config: AlertsConfig = toml::from_str(&text).unwrap();
    assert!(matches!(AlertsSink::new("m", &config, directory.path(), HashMap::new()), Err(SinkError::Broken(_))));
    let (sender, events) = mpsc::sync_channel(1 << 16);
    let publisher: Box<dyn EventPublisher> = Box::new(Publisher { sender, refusals: Mutex::new(1) });
    let publishers = HashMap::from([("bus".to_owned(), publisher)]);
    let mut sink = AlertsSink::new("m", &config, directory.path(), publishers).unwrap();
    sink.deliver(&delivery(0, &[("d=1", 1000, "{\"t\":31}")])).unwrap();
    let (key, payload) = events.recv_timeout(PATIENCE).unwrap();
    assert_eq!(key, b"d=1");
    assert!(serde_json::from_slice::<serde_json::Value>(&payload).unwrap()["type"] == "fired");
}

#[test]
fn what_cannot_work_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let broken =
        |config: &AlertsConfig, name: &str| match AlertsSink::new(name, config, directory.path(), HashMap::new()) {
            Err(SinkError::Broken(text)) => text,
            other => panic!("{other:?}"),
        };
    assert!(broken(&AlertsConfig::default(), "../x").contains("the name of a sink"));
    let private = config(RULES, 1, "").webhooks["hook"].clone();
    let private = crate::WebhookConfig { allow_private: false, ..private };
    let refused = AlertsConfig { webhooks: [("hook".to_owned(), private)].into(), ..AlertsConfig::default() };
    assert!(broken(&refused, "a").contains("127.0.0.1 may not be called"));
    let mut no_file = config(RULES, 1, "");
    let hook = no_file.webhooks.get_mut("hook").unwrap();
    hook.secret = None;
    hook.secret_file = Some(directory.path().join("none"));
    assert!(broken(&no_file, "a").contains("cannot read"));
}
