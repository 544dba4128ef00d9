//! The journal from a sealed batch until it is safe, and the ways back: recovery after a crash, reading from disk.
//! - Units: `append` has 64 batches of 1,000 messages an iteration; `recover` and `read` have a journal of a million messages.
//!   `process cpu` is that of all threads of the process, `wall` what a shard waits for.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use criterion::{Criterion, Throughput};
use millrace_benches::clock::{Clock, CpuTime, bench_by, run, spent};
use millrace_benches::inputs::{Fleet, PLAIN, ROWS};
use millrace_benches::log::Log;
use millrace_benches::scaled;
use millrace_journal::JournalConfig;
use millrace_model::BatchColumns;

const BATCHES: u64 = 64;
const DEVICES: u64 = 200;
const CLOCKS: [Clock; 2] = [Clock::Process, Clock::Wall];

fn columns(count: u64) -> Vec<BatchColumns> {
    Fleet::new(DEVICES, PLAIN).expect("a fleet").columns(count)
}

fn append(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("journal append");
    let columns = columns(BATCHES);
    let bytes: usize = columns.iter().map(|columns| columns.bytes.len()).sum();
    for (name, sync) in [("synced", true), ("not synced", false)] {
        let directory = tempfile::tempdir().expect("a directory");
        let config = JournalConfig { sync, ..JournalConfig::default() };
        let mut log = Log::open(directory.path(), &config).expect("a journal");
        let mut once = || {
            let batches = log.place(&columns).expect("batches");
            let spent = spent(|| log.append(batches)).expect("durable");
            log.trim();
            spent
        };
        group.throughput(Throughput::Elements(BATCHES * ROWS));
        bench_by(&mut group, name, &CLOCKS, &mut once);
        group.throughput(Throughput::Bytes(bytes.try_into().expect("a size")));
        bench_by(&mut group, &format!("{name}, bytes"), &[Clock::Wall], &mut once);
        log.close().expect("closes");
    }
    group.finish();
}

fn recover_and_read(criterion: &mut Criterion<CpuTime>) {
    let directory = tempfile::tempdir().expect("a directory");
    let batches = scaled(1_000);
    let config = JournalConfig { recent_bytes: 0, ..JournalConfig::default() };
    let mut log = Log::open(directory.path(), &config).expect("a journal");
    log.place(&columns(batches)).and_then(|batches| log.append(batches)).expect("durable");
    let mut group = criterion.benchmark_group("journal");
    group.sample_size(10).throughput(Throughput::Elements(batches * ROWS));
    bench_by(&mut group, "read", &CLOCKS, &mut || {
        spent(|| log.read_all().map(|count| assert_eq!(count, batches * ROWS))).expect("readable")
    });
    log.close().expect("closes");
    bench_by(&mut group, "recover", &CLOCKS, &mut || {
        let mut opened = None;
        let spent = spent(|| Log::open(directory.path(), &config).map(|log| opened = Some(log))).expect("recovers");
        opened.expect("open").close().expect("closes");
        spent
    });
    group.finish();
}

fn main() {
    run(&[append, recover_and_read]);
}
