//! One PUBLISH out of a read buffer, and its PUBACK into a write buffer.
//! - Units: an iteration is one read buffer of 256 frames.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use millrace_benches::clock::{CpuTime, run};
use millrace_benches::inputs;
use millrace_protocols_mqtt::{Limits, PubAckReason, Session, Version};

const FRAMES: u16 = 256;

fn decode(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(u64::from(FRAMES)));
    let limits = Limits::default();
    for (name, version) in [("publish 3.1.1", Version::V311), ("publish 5", Version::V5)] {
        let mut frames = Vec::new();
        (1..=FRAMES).for_each(|id| inputs::encode_publish(version, u64::from(id), id, &mut frames));
        let session = || inputs::session(version, &limits).expect("connects");
        let decode = |session: &mut Session| {
            let mut input = frames.as_slice();
            while let Some(event) = session.next(&limits, black_box(&mut input)).expect("a frame") {
                black_box(&event);
            }
        };
        group.bench_function(name, |bencher| bencher.iter_batched_ref(session, decode, BatchSize::SmallInput));
    }
    let mut session = inputs::session(Version::V311, &limits).expect("connects");
    let mut out = Vec::new();
    group.bench_function("puback", |bencher| {
        bencher.iter(|| {
            out.clear();
            (1..=FRAMES).for_each(|id| session.ack(black_box(id), PubAckReason::Success, &mut out));
            black_box(out.len())
        });
    });
    group.finish();
}

fn main() {
    run(&[decode]);
}
