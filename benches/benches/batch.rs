//! The one copy that a message's bytes undergo: appended to the open batch, and the batch sealed.
//! - Units: an iteration is a batch of 1,000 messages, appended and sealed.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use millrace_benches::clock::{CpuTime, run};
use millrace_benches::inputs::{self, FULL, PLAIN, ROWS, SHARD};
use millrace_model::batch::IdentitySlot;
use millrace_model::{BatchBuilder, MessageSource, Offset, Timestamp};

fn batch(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("batch");
    group.throughput(Throughput::Elements(ROWS));
    let body = inputs::body(1);
    for (name, devices, bag) in
        [("20 devices", 20, PLAIN), ("1000 devices", 1_000, PLAIN), ("20 devices, 8 properties", 20, FULL)]
    {
        let mut senders: Vec<_> =
            (0..devices).map(|number| (inputs::identity(number).expect("a device"), IdentitySlot::default())).collect();
        let mut builder = BatchBuilder::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for _ in 0..ROWS / devices {
                    for (identity, slot) in &mut senders {
                        let bag = [black_box(bag.as_bytes()), b""];
                        let body = black_box(&body);
                        builder.append(identity, slot, MessageSource::Telemetry, Timestamp(1), bag, body);
                    }
                }
                builder.seal(SHARD, Offset(0))
            });
        });
    }
    group.finish();
}

fn main() {
    run(&[batch]);
}
