//! All routes over a batch, by what their conditions look at.
//! - Units: an iteration is a batch of 1,000 messages.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use millrace_benches::clock::{CpuTime, run};
use millrace_benches::inputs::{FULL, Fleet, JSON, PLAIN, ROWS, TAGGED};
use millrace_benches::sinks::{Look, routes};
use millrace_router::Scratch;

fn route(criterion: &mut Criterion<CpuTime>) {
    let cases = [
        ("sender", Look::Sender, PLAIN),
        ("1 of 2 properties", Look::Property, TAGGED),
        ("2 of 2 properties", Look::Properties, TAGGED),
        ("2 of 8 properties", Look::Properties, FULL),
        ("body", Look::Body, JSON),
    ];
    for (name, look, bag) in cases {
        let mut group = criterion.benchmark_group(format!("routes by {name}"));
        group.throughput(Throughput::Elements(ROWS));
        let batch = Fleet::new(200, bag).expect("a fleet").batch(ROWS);
        for count in [1, 10, 100] {
            let table = routes(count, look).expect("conditions");
            let mut scratch = Scratch::default();
            assert!(table.route(&batch, &mut scratch).poison.is_empty());
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| table.route(black_box(&batch), &mut scratch));
            });
        }
        group.finish();
    }
}

fn main() {
    run(&[route]);
}
