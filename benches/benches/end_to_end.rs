//! A whole ingest tier over loopback: from a device's socket to the PUBACK, journalled and synced in between.
//! - Units: an iteration is 10,000 messages of 20 connections with a window of 16 each. `wall` gives messages acknowledged a second
//!   by one shard, the client on the other core; `server cpu` is that of all threads but the client's.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use criterion::{Criterion, Throughput};
use millrace_benches::clock::{Clock, CpuTime, bench_by, run, spent};
use millrace_benches::scaled;
use millrace_benches::tier::{Client, Tier};
use millrace_ingest::AcknowledgeLevel;

const CONNECTIONS: u64 = 20;
const WINDOW: u16 = 16;

fn end_to_end(criterion: &mut Criterion<CpuTime>) {
    let messages = scaled(10_000);
    let mut group = criterion.benchmark_group("end to end");
    group.throughput(Throughput::Elements(messages));
    for (name, acknowledge) in [("disk", AcknowledgeLevel::Disk), ("memory", AcknowledgeLevel::Memory)] {
        let tier = Tier::start(acknowledge).expect("a tier");
        let mut client = Client::connect(&tier, CONNECTIONS, WINDOW).expect("a client");
        let mut once = || {
            let spent = spent(|| client.publish(messages)).expect("acknowledged");
            tier.trim();
            spent
        };
        bench_by(&mut group, name, &[Clock::Wall, Clock::Elsewhere], &mut once);
    }
    group.finish();
}

fn main() {
    run(&[end_to_end]);
}
