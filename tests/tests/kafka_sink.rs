//! The Kafka sink against a real broker: what a consumer finds, and what survives when the broker does not.
//! - Shape: [`Source`] makes batches as a shard would, [`Driver`] offers them as the router does and keeps no order but that.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use millrace_model::batch::IdentitySlot;
use millrace_model::{
    BatchBuilder, DeadLetter, Delivery, Enrichment, Identity, IdentityRef, Message, MessageSource, Offset, Selection,
    ShardId, Sink, SinkError, Timestamp,
};
use millrace_sinks_kafka::{HeaderSet, KafkaConfig, KafkaSink};
use millrace_tests::kafka::{KafkaServer, Record, read_all};

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(120);

/// 2026-01-01T00:00:00.250Z
const START: i64 = 1_767_225_600_250;

const DEVICES: usize = 20;

/// Dead letters in memory: device, endpoint, reason, offset.
#[derive(Default)]
struct Letters(Mutex<Vec<(String, String, String, u64)>>);

impl DeadLetter for Letters {
    fn put(&self, message: &Message<'_>, endpoint: &str, reason: &str) -> std::io::Result<()> {
        let device = message.identity.device_id.to_owned();
        self.0.lock().unwrap().push((device, endpoint.to_owned(), reason.to_owned(), message.offset.0));
        Ok(())
    }
}

/// One shard's messages: device `d0`, `d1`, ... in turn; the body is the number of the message.
struct Source {
    shard: ShardId,
    next: u64,
    identities: Vec<Identity>,
    builder: BatchBuilder,
}

impl Source {
    fn new(shard: u16) -> Self {
        let identities = (0..DEVICES).map(|number| identity(&format!("d{number}"), None)).collect();
        Self { shard: ShardId(shard), next: 0, identities, builder: BatchBuilder::new() }
    }

    fn batch(&mut self, rows: u64, body: impl Fn(u64) -> Vec<u8>) -> Delivery {
        let mut slots = vec![IdentitySlot::default(); DEVICES];
        for offset in self.next..self.next + rows {
            let device = usize::try_from(offset).unwrap() % DEVICES;
            let time = Timestamp(START + i64::try_from(offset).unwrap());
            let (identity, slot) = (&self.identities[device], &mut slots[device]);
            self.builder.append(identity, slot, MessageSource::Telemetry, time, [b"", b""], &body(offset));
        }
        let batch = self.builder.seal(self.shard, Offset(self.next));
        self.next += rows;
        let selected = Selection::all(batch.len());
        Delivery { batch: Arc::new(batch), selected, enrichments: Arc::new([]) }
    }
}

fn identity(device_id: &str, module_id: Option<&str>) -> Identity {
    Identity::new(&IdentityRef { device_id, module_id, generation_id: "7", auth_method: "{}", model_id: None }).unwrap()
}

fn number(offset: u64) -> Vec<u8> {
    offset.to_string().into_bytes()
}

/// Offers batches as the router does.
struct Driver {
    sink: KafkaSink,
    /// Reasons of `Unavailable`, each once.
    reasons: Vec<String>,
}

impl Driver {
    fn new(server: &KafkaServer, topic: &str, letters: &Arc<Letters>, change: impl FnOnce(&mut KafkaConfig)) -> Self {
        let mut config = KafkaConfig {
            bootstrap_servers: server.bootstrap().to_owned(),
            topic: topic.to_owned(),
            ..KafkaConfig::default()
        };
        change(&mut config);
        let letters: Arc<dyn DeadLetter> = Arc::<Letters>::clone(letters);
        Self { sink: KafkaSink::new("cold", &config, letters).unwrap(), reasons: Vec::new() }
    }

    /// One call; whether it was taken.
    fn offer(&mut self, delivery: &Delivery) -> Result<bool> {
        let answer = self.sink.deliver(delivery);
        let taken = answer.is_ok();
        self.note(answer)?;
        let polled = self.sink.poll(Instant::now());
        self.note(polled)?;
        Ok(taken)
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.offer(delivery)? {
            ensure!(Instant::now() < deadline, "not taken: {:?}", self.reasons);
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        Ok(self.sink.drain(Instant::now() + PATIENCE)?)
    }

    fn note(&mut self, answer: Result<(), SinkError>) -> Result<()> {
        match answer {
            Ok(()) | Err(SinkError::Busy) => Ok(()),
            Err(SinkError::Unavailable(reason)) => {
                if !self.reasons.contains(&reason) {
                    self.reasons.push(reason);
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Every offset in `0..count` but those `missing` is there; per device, the first copies come in order in one partition.
/// Answers how many records are repeats.
fn check(records: &[Record], count: u64, missing: &[u64]) -> usize {
    let mut last: HashMap<&[u8], (i32, u64)> = HashMap::new();
    let mut seen = vec![false; usize::try_from(count).unwrap()];
    let mut repeats = 0;
    for record in records {
        let offset: u64 = record.header("millrace-offset").unwrap().split_once(':').unwrap().1.parse().unwrap();
        let device = record.key.as_deref().unwrap();
        let place = usize::try_from(offset).unwrap();
        if std::mem::replace(&mut seen[place], true) {
            repeats += 1;
            continue;
        }
        if let Some(&(partition, before)) = last.get(device) {
            assert_eq!(partition, record.partition, "a device keeps its partition");
            assert!(before < offset, "{before} came before {offset}");
        }
        last.insert(device, (record.partition, offset));
    }
    let lost: Vec<u64> = (0..count).filter(|&offset| !seen[usize::try_from(offset).unwrap()]).collect();
    assert_eq!(lost, missing);
    repeats
}

#[test]
fn a_consumer_finds_key_time_properties_and_order() -> Result<()> {
    let server = KafkaServer::shared()?;
    server.create_topic("plain", 4, &[])?;
    let mut driver = Driver::new(&server, "plain", &Arc::default(), |_| {});
    let mut source = Source::new(3);
    for _ in 0..50 {
        driver.deliver(&source.batch(200, number))?;
    }
    driver.drain()?;
    assert_eq!(driver.sink.safe(ShardId(3)), Offset(10_000));
    let records = read_all(server.bootstrap(), "plain")?;
    assert_eq!(check(&records, 10_000, &[]), 0);
    for record in &records {
        let offset: i64 = String::from_utf8(record.payload.clone().unwrap())?.parse()?;
        assert_eq!(record.headers, [("millrace-offset".to_owned(), Some(format!("3:{offset}").into_bytes()))]);
        assert_eq!(record.timestamp, Some(START + offset));
    }
    Ok(())
}

#[test]
fn the_hub_set_states_who_sent_it_and_forgeries_are_left_out() -> Result<()> {
    let server = KafkaServer::shared()?;
    server.create_topic("hub", 1, &[])?;
    let mut driver = Driver::new(&server, "hub", &Arc::default(), |config| config.headers = HeaderSet::Hub);
    let mut builder = BatchBuilder::new();
    let bag = b"%24.ct=application%2Fjson&a=1&null&empty=&iothub-connection-device-id=other&millrace-offset=9%3A9";
    let sender = identity("d1", Some("m1"));
    let time = Timestamp(START);
    builder.append(&sender, &mut IdentitySlot::default(), MessageSource::Telemetry, time, [bag, b""], b"");
    let batch = Arc::new(builder.seal(ShardId(0), Offset(5)));
    let enrichments = Arc::new([Enrichment { key: "site".to_owned(), value: "north".to_owned() }]);
    driver.deliver(&Delivery { selected: Selection::all(1), batch, enrichments })?;
    driver.drain()?;
    let records = read_all(server.bootstrap(), "hub")?;
    let [record] = &records[..] else { panic!("{records:?}") };
    let headers: Vec<(&str, Option<&str>)> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref().map(|value| std::str::from_utf8(value).unwrap())))
        .collect();
    let expected = [
        ("millrace-offset", Some("0:5")),
        ("iothub-connection-device-id", Some("d1")),
        ("iothub-connection-module-id", Some("m1")),
        ("iothub-connection-auth-method", Some("{}")),
        ("iothub-connection-auth-generation-id", Some("7")),
        ("iothub-enqueuedtime", Some("2026-01-01T00:00:00.250Z")),
        ("iothub-message-source", Some("Telemetry")),
        ("content-type", Some("application/json")),
        ("a", Some("1")),
        ("null", None),
        ("empty", Some("")),
        ("site", Some("north")),
    ];
    assert_eq!(headers, expected);
    assert_eq!((record.key.as_deref(), record.payload.as_deref()), (Some(&b"d1"[..]), Some(&b""[..])));
    Ok(())
}

#[test]
fn a_broker_killed_under_load_loses_nothing_and_keeps_the_order() -> Result<()> {
    let server = KafkaServer::start()?;
    server.create_topic("crash", 4, &[])?;
    // A small window, so that the sink is full long before the load ends.
    let mut driver = Driver::new(&server, "crash", &Arc::default(), |config| config.in_flight_messages = 5_000);
    let mut source = Source::new(0);
    for round in 0..3 {
        for _ in 0..100 {
            driver.deliver(&source.batch(100, number))?;
        }
        // In the midst of it: requests are on the road and unanswered.
        server.kill()?;
        let deadline = Instant::now() + PATIENCE;
        let refused = loop {
            let delivery = source.batch(100, number);
            if !driver.offer(&delivery)? {
                break delivery;
            }
            ensure!(Instant::now() < deadline, "a dead broker cannot take everything");
        };
        while driver.reasons.is_empty() {
            driver.offer(&refused)?;
            ensure!(Instant::now() < deadline, "round {round}: no reason was ever given");
        }
        server.restart()?;
        driver.deliver(&refused)?;
        println!("round {round}: {:?}", driver.reasons);
        driver.reasons.clear();
    }
    driver.drain()?;
    assert_eq!(driver.sink.safe(ShardId(0)), Offset(source.next));
    let records = read_all(server.bootstrap(), "crash")?;
    let repeats = check(&records, source.next, &[]);
    println!("{} records, {repeats} of them repeats", records.len());
    Ok(())
}

#[test]
fn a_message_that_the_topic_refuses_goes_to_the_dead_letters() -> Result<()> {
    let server = KafkaServer::shared()?;
    server.create_topic("small", 4, &[("max.message.bytes", "3000")])?;
    let letters = Arc::new(Letters::default());
    let mut driver = Driver::new(&server, "small", &letters, |config| config.message_bytes_max = 20_000);
    let mut source = Source::new(0);
    // 100 is refused by the topic, 201 by the sink's own limit before it is sent.
    let body = |offset: u64| match offset {
        100 => noise(offset, 10_000),
        201 => noise(offset, 30_000),
        offset => number(offset),
    };
    for _ in 0..6 {
        driver.deliver(&source.batch(50, body))?;
    }
    driver.drain()?;
    let mut letters = letters.0.lock().unwrap().clone();
    letters.sort_by_key(|letter| letter.3);
    letters.dedup_by_key(|letter| letter.3);
    let found: Vec<(&str, &str, u64)> = letters.iter().map(|l| (l.0.as_str(), l.1.as_str(), l.3)).collect();
    assert_eq!(found, [("d0", "cold", 100), ("d1", "cold", 201)]);
    assert!(letters.iter().all(|letter| letter.2.to_lowercase().contains("large")), "{letters:?}");
    let records = read_all(server.bootstrap(), "small")?;
    check(&records, 300, &[100, 201]);
    Ok(())
}

#[test]
fn requests_shrink_when_the_topic_takes_the_records_but_not_together() -> Result<()> {
    let server = KafkaServer::shared()?;
    server.create_topic("narrow", 1, &[("max.message.bytes", "300000")])?;
    let letters = Arc::new(Letters::default());
    let mut driver = Driver::new(&server, "narrow", &letters, |_| {});
    let mut source = Source::new(0);
    for _ in 0..40 {
        driver.deliver(&source.batch(50, |offset| noise(offset, 1_000)))?;
    }
    driver.drain()?;
    assert!(letters.0.lock().unwrap().is_empty());
    check(&read_all(server.bootstrap(), "narrow")?, 2_000, &[]);
    Ok(())
}

#[test]
fn a_missing_topic_is_waited_for() -> Result<()> {
    let server = KafkaServer::shared()?;
    let mut driver = Driver::new(&server, "later", &Arc::default(), |_| {});
    let mut source = Source::new(0);
    let delivery = source.batch(10, number);
    let deadline = Instant::now() + PATIENCE;
    while !driver.reasons.iter().any(|reason| reason.contains("topic 'later' does not exist")) {
        driver.offer(&delivery)?;
        ensure!(Instant::now() < deadline, "{:?}", driver.reasons);
    }
    assert_eq!(driver.sink.safe(ShardId(0)), Offset(0));
    server.create_topic("later", 1, &[])?;
    driver.deliver(&delivery)?;
    driver.drain()?;
    check(&read_all(server.bootstrap(), "later")?, 10, &[]);
    Ok(())
}

/// Bytes that do not compress.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..count).map(step).collect()
}
