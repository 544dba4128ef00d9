//! The alert rules over batches, none of which fires.
//! - Units: an iteration is 10 batches of 1,000 messages from 10,000 devices, so that each look-up misses the cache as in life.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use criterion::{Criterion, Throughput};
use millrace_benches::clock::{Clock, CpuTime, bench_by, run, spent};
use millrace_benches::inputs::{Fleet, JSON, ROWS};
use millrace_benches::sinks;
use millrace_sinks_alerts::RuleKind;

const DEVICES: u64 = 10_000;

fn alerts(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("alerts");
    group.throughput(Throughput::Elements(DEVICES));
    let cases = [(1, RuleKind::Threshold), (10, RuleKind::Threshold), (1, RuleKind::Window), (10, RuleKind::Window)];
    for (count, kind) in cases {
        let directory = tempfile::tempdir().expect("a directory");
        let mut sink = sinks::alerts(directory.path(), count, kind).expect("a sink");
        let mut fleet = Fleet::new(DEVICES, JSON).expect("a fleet");
        bench_by(&mut group, &format!("{count} {kind:?}"), &[Clock::Thread], &mut || {
            let deliveries: Vec<_> = (0..DEVICES / ROWS).map(|_| fleet.delivery(ROWS)).collect();
            spent(|| deliveries.iter().try_for_each(|delivery| sinks::deliver(&mut sink, delivery))).expect("taken")
        });
    }
    group.finish();
}

fn main() {
    run(&[alerts]);
}
