//! The Parquet sink, zstd 1, from a delivery to a complete file on disk.
//! - Units: an iteration is one file of 262,144 rows; the CPU is that of all threads.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use criterion::{Criterion, Throughput};
use millrace_benches::clock::{Clock, CpuTime, bench_by, run, spent};
use millrace_benches::inputs::{FULL, Fleet, PLAIN};
use millrace_benches::{scaled, sinks};

/// What fits into a batch of 1 MiB, nearly.
const BATCH_ROWS: u64 = 8_192;

fn parquet(criterion: &mut Criterion<CpuTime>) {
    let batches = scaled(32);
    let mut group = criterion.benchmark_group("parquet");
    group.sample_size(10).throughput(Throughput::Elements(batches * BATCH_ROWS));
    for (name, devices, bag) in [
        ("20 devices", 20, PLAIN),
        ("1000 devices", 1_000, PLAIN),
        ("100000 devices", 100_000, PLAIN),
        ("1000 devices, 8 properties", 1_000, FULL),
    ] {
        let mut fleet = Fleet::new(devices, bag).expect("a fleet");
        let deliveries: Vec<_> = (0..batches).map(|_| fleet.delivery(BATCH_ROWS)).collect();
        let mut once = || {
            let directory = tempfile::tempdir().expect("a directory");
            let mut sink = sinks::parquet(directory.path()).expect("a sink");
            spent(|| {
                deliveries.iter().try_for_each(|delivery| sinks::deliver(&mut sink, delivery))?;
                sinks::drain(&mut sink)
            })
            .expect("a file")
        };
        bench_by(&mut group, name, &[Clock::Process], &mut once);
    }
    group.finish();
}

fn main() {
    run(&[parquet]);
}
