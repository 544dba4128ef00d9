//! The Kafka sink, against the mock broker of librdkafka in the same process.
//! - Units: an iteration is 100 batches of 1,000 messages, delivered and acknowledged. `thread cpu` is that of the sink's own
//!   thread; `process cpu` is that of all threads, the mock broker's among them, which a real broker would take elsewhere.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use millrace_benches::clock::{Clock, CpuTime, bench_by, run, spent};
use millrace_benches::inputs::{FULL, Fleet, JSON, PLAIN, ROWS, SHARD, deliver_all};
use millrace_benches::{scaled, sinks};
use millrace_model::{Batch, BatchColumns, Offset, Sink as _};
use millrace_sinks_kafka::HeaderSet;
use rdkafka::mocking::MockCluster;

/// Between two looks at what is acknowledged: long enough that looking costs nothing.
const PAUSE: Duration = Duration::from_millis(1);

fn kafka(criterion: &mut Criterion<CpuTime>) {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("telemetry", 4, 1).expect("a topic");
    let batches = scaled(100);
    let mut group = criterion.benchmark_group("kafka");
    group.sample_size(10).throughput(Throughput::Elements(batches * ROWS));
    for (name, bag, set) in [
        ("lean, 1 header", PLAIN, HeaderSet::Lean),
        ("lean, 3 headers", JSON, HeaderSet::Lean),
        ("hub", FULL, HeaderSet::Hub),
    ] {
        let template = Fleet::new(200, bag).expect("a fleet").columns(batches);
        let mut sink = sinks::kafka(cluster.bootstrap_servers(), set).expect("a sink");
        let mut next = Offset(0);
        let mut once = || {
            let place = |columns: &BatchColumns| {
                let batch = Batch::from_columns(SHARD, next, columns.clone()).expect("a batch");
                next = batch.end();
                deliver_all(batch)
            };
            let deliveries: Vec<_> = template.iter().map(place).collect();
            spent(|| {
                deliveries.iter().try_for_each(|delivery| sinks::deliver(&mut sink, delivery))?;
                while sink.safe(SHARD) < next {
                    sink.poll(Instant::now())?;
                    std::thread::park_timeout(PAUSE);
                }
                anyhow::Ok(())
            })
            .expect("acknowledged")
        };
        bench_by(&mut group, name, &[Clock::Thread, Clock::Process], &mut once);
        sinks::drain(&mut sink).expect("drains");
    }
    group.finish();
}

fn main() {
    run(&[kafka]);
}
