//! The sink against librdkafka's own mock cluster, which fails on request.

use std::sync::Mutex;

use millrace_model::batch::IdentitySlot;
use millrace_model::{BatchBuilder, Identity, IdentityRef, Message, MessageSource, Selection, Timestamp};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Letters {
    offsets: Mutex<Vec<u64>>,
    /// How many calls fail before one succeeds.
    failures: Mutex<u32>,
}

impl DeadLetter for Letters {
    fn put(&self, message: &Message<'_>, endpoint: &str, _reason: &str) -> std::io::Result<()> {
        assert_eq!(endpoint, "test");
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(std::io::Error::other("disk full"));
        }
        self.offsets.lock().unwrap().push(message.offset.0);
        Ok(())
    }
}

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("telemetry", 2, 1).unwrap();
    cluster
}

fn sink(cluster: &Cluster, letters: &Arc<Letters>) -> KafkaSink {
    let config = KafkaConfig {
        bootstrap_servers: cluster.bootstrap_servers(),
        message_bytes_max: 20_000,
        in_flight_messages: 1_000,
        in_flight_bytes: 4 * 1024 * 1024,
        ..KafkaConfig::default()
    };
    let letters: Arc<dyn DeadLetter> = Arc::<Letters>::clone(letters);
    KafkaSink::new("test", &config, letters).unwrap()
}

fn delivery(base: u64, bodies: &[usize]) -> Delivery {
    let identity = Identity::new(&IdentityRef { device_id: "d", ..IdentityRef::default() }).unwrap();
    let mut builder = BatchBuilder::new();
    let mut slot = IdentitySlot::default();
    for &bytes in bodies {
        builder.append(&identity, &mut slot, MessageSource::Telemetry, Timestamp(1), [b"", b""], &vec![b'x'; bytes]);
    }
    let batch = Arc::new(builder.seal(ShardId(0), Offset(base)));
    Delivery { selected: Selection::all(batch.len()), batch, enrichments: Arc::new([]) }
}

/// Calls `step` until it has an answer.
fn until(
    sink: &mut KafkaSink,
    mut step: impl FnMut(&mut KafkaSink) -> Option<Result<(), SinkError>>,
) -> Result<(), SinkError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let polled = sink.poll(Instant::now());
        if let Some(done) = step(sink) {
            return done;
        }
        assert!(Instant::now() < deadline, "{polled:?}");
        sink.client.poll(Duration::from_millis(1));
    }
}

fn deliver(sink: &mut KafkaSink, delivery: &Delivery) {
    until(sink, |sink| sink.deliver(delivery).is_ok().then_some(Ok(()))).unwrap();
}

#[test]
fn a_refused_request_is_taken_apart_and_nobody_suffers_for_his_neighbour() {
    let (cluster, letters) = (cluster(), Arc::new(Letters::default()));
    let mut sink = sink(&cluster, &letters);
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    for base in 0..10 {
        deliver(&mut sink, &delivery(base * 10, &[10; 10]));
    }
    sink.drain(Instant::now() + PATIENCE).unwrap();
    assert_eq!(sink.safe(ShardId(0)), Offset(100));
    assert!(letters.offsets.lock().unwrap().is_empty());
    until(&mut sink, |sink| (sink.requests.mode() == Mode::Together).then_some(Ok(()))).unwrap();
    assert_eq!(sink.requests, Requests::default().next(Mode::Alone).next(Mode::Together), "requests are smaller now");
}

#[test]
fn a_record_refused_alone_is_dead_lettered() {
    let (cluster, letters) = (cluster(), Arc::new(Letters::default()));
    let mut sink = sink(&cluster, &letters);
    // Once for the request, once for a record alone.
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD; 2]);
    deliver(&mut sink, &delivery(0, &[10; 10]));
    sink.drain(Instant::now() + PATIENCE).unwrap();
    assert_eq!((sink.safe(ShardId(0)), letters.offsets.lock().unwrap().len()), (Offset(10), 1));
}

#[test]
fn nothing_passes_a_message_that_the_dead_letters_cannot_take() {
    let (cluster, letters) = (cluster(), Arc::new(Letters::default()));
    *letters.failures.lock().unwrap() = 3;
    let mut sink = sink(&cluster, &letters);
    let delivery = delivery(0, &[10, 30_000, 10]);
    let refused = sink.deliver(&delivery);
    assert!(matches!(&refused, Err(SinkError::Unavailable(reason)) if reason.contains("disk full")), "{refused:?}");
    assert_eq!(sink.safe(ShardId(0)), Offset(0));
    deliver(&mut sink, &delivery);
    sink.drain(Instant::now() + PATIENCE).unwrap();
    assert_eq!((sink.safe(ShardId(0)), &letters.offsets.lock().unwrap()[..]), (Offset(3), &[1][..]));
}

#[test]
fn a_permission_that_is_missing_is_named_and_waited_for() {
    let (cluster, letters) = (cluster(), Arc::new(Letters::default()));
    let mut sink = sink(&cluster, &letters);
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    deliver(&mut sink, &delivery(0, &[10; 10]));
    let named = until(&mut sink, |sink| sink.failure().is_err().then(|| sink.failure()));
    let Err(SinkError::Unavailable(reason)) = named else { panic!("{named:?}") };
    assert_eq!(reason, "no permission to write to topic 'telemetry'");
    sink.drain(Instant::now() + PATIENCE).unwrap();
    assert_eq!(sink.safe(ShardId(0)), Offset(10));
    assert!(letters.offsets.lock().unwrap().is_empty());
}

#[test]
fn a_full_queue_is_busy_and_an_outage_is_named_and_both_end() {
    let (cluster, letters) = (cluster(), Arc::new(Letters::default()));
    let mut sink = sink(&cluster, &letters);
    cluster.broker_down(1).unwrap();
    let mut base = 0;
    let refused = loop {
        let delivery = delivery(base, &[10; 300]);
        match sink.deliver(&delivery) {
            Ok(()) => base += 300,
            Err(_) => break delivery,
        }
    };
    assert!(base <= 1_000, "{base} taken, though 1,000 are the limit");
    let named = until(&mut sink, |sink| match sink.deliver(&refused) {
        Err(SinkError::Busy) => None,
        answer => Some(answer),
    });
    assert!(matches!(&named, Err(SinkError::Unavailable(_))), "{named:?}");
    assert_eq!(sink.safe(ShardId(0)), Offset(0));
    cluster.broker_up(1).unwrap();
    deliver(&mut sink, &refused);
    sink.drain(Instant::now() + PATIENCE).unwrap();
    assert_eq!(sink.safe(ShardId(0)), Offset(base + 300));
    assert_eq!(sink.outage.reason(), None);
}

#[test]
fn bytes_in_flight_are_bounded_though_few_messages_are_selected() {
    let (cluster, letters) = (cluster(), Arc::new(Letters::default()));
    let mut sink = sink(&cluster, &letters);
    cluster.broker_down(1).unwrap();
    for base in 0..1_000 {
        let mut delivery = delivery(base * 10, &[19_000; 10]);
        delivery.selected = Selection::none(10);
        delivery.selected.insert(3);
        if sink.deliver(&delivery).is_err() {
            break;
        }
    }
    let bytes: usize = sink.shards.iter().map(ShardQueue::bytes).sum();
    assert!((4 * 1024 * 1024..5 * 1024 * 1024).contains(&bytes), "{bytes}");
}

#[test]
fn a_drain_gives_up_in_time() {
    let (cluster, letters) = (cluster(), Arc::new(Letters::default()));
    let mut sink = sink(&cluster, &letters);
    cluster.broker_down(1).unwrap();
    deliver(&mut sink, &delivery(0, &[10]));
    let start = Instant::now();
    assert!(sink.drain(start + Duration::from_millis(200)).is_err());
    assert!(start.elapsed() < PATIENCE / 2);
    assert_eq!(sink.safe(ShardId(0)), Offset(0));
}

#[test]
fn a_bad_configuration_is_broken_and_says_all() {
    let config = KafkaConfig { topic: String::new(), linger_ms: 9_999, ..KafkaConfig::default() };
    let letters: Arc<dyn DeadLetter> = Arc::new(Letters::default());
    let Err(SinkError::Broken(problems)) = KafkaSink::new("test", &config, letters) else { panic!("not refused") };
    assert!(problems.contains("topic") && problems.contains("linger_ms"), "{problems}");
}
