//! What a message costs this sink: nanoseconds of `deliver` per message, for 0 to 10 rules over 10,000 devices.
//! Run with `cargo run --release -p millrace-sinks-alerts --example alerts_cost`.

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_model::batch::IdentitySlot;
use millrace_model::{
    BatchBuilder, Delivery, Identity, IdentityRef, MessageSource, Offset, Selection, ShardId, Sink, Timestamp,
};
use millrace_sinks_alerts::{AlertsConfig, AlertsSink, RuleConfig, RuleKind};

const DEVICES: usize = 10_000;
const ROWS: usize = 1000;

fn rules(count: usize, kind: RuleKind) -> Vec<RuleConfig> {
    let window = kind == RuleKind::Window;
    (0..count)
        .map(|number| RuleConfig {
            name: format!("r{number}"),
            kind,
            value: Some(["$.temperature", "$.humidity"].map(str::to_owned)[number % 2].clone()),
            aggregate: window.then_some(millrace_sinks_alerts::Aggregate::Avg),
            seconds: window.then_some(60),
            above: Some(1000.0),
            actions: vec!["log".to_owned()],
            ..RuleConfig::default()
        })
        .collect()
}

/// Batches of 1,000 messages of 92 bytes, each device in turn, so that every look-up misses the cache as it would in life.
fn batches(count: usize) -> Result<Vec<Delivery>, Box<dyn Error>> {
    let identities: Vec<Identity> = (0..DEVICES)
        .filter_map(|number| {
            let device_id = format!("device-{number:06}");
            Identity::new(&IdentityRef { device_id: &device_id, generation_id: "1", ..IdentityRef::default() })
        })
        .collect();
    let body = br#"{"sequence":123456,"temperature":21.53,"humidity":61.2,"pressure":1013.25,"battery":3.71,"x":1}"#;
    let mut builder = BatchBuilder::new();
    let mut deliveries = Vec::new();
    for batch in 0..count {
        for row in 0..ROWS {
            let number = batch * ROWS + row;
            let at = Timestamp(1_700_000_000_000 + i64::try_from(number / 50)?);
            let identity = &identities[number % DEVICES];
            let slot = &mut IdentitySlot::default();
            builder.append(identity, slot, MessageSource::Telemetry, at, [b"%24.ct=application%2Fjson", b""], body);
        }
        let batch = Arc::new(builder.seal(ShardId(0), Offset(u64::try_from(batch * ROWS)?)));
        deliveries.push(Delivery { selected: Selection::all(batch.len()), batch, enrichments: Arc::new([]) });
    }
    Ok(deliveries)
}

fn measure(rules: Vec<RuleConfig>, deliveries: &[Delivery]) -> Result<(f64, Duration), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(format!("alerts-cost-{}", std::process::id()));
    let config = AlertsConfig { rules, ..AlertsConfig::default() };
    let mut sink = AlertsSink::new("cost", &config, &directory, HashMap::new())?;
    let (warm, timed) = deliveries.split_at(DEVICES / ROWS);
    for delivery in warm {
        sink.deliver(delivery)?;
    }
    let (mut busy, mut longest_poll) = (Duration::ZERO, Duration::ZERO);
    for delivery in timed {
        let start = Instant::now();
        sink.deliver(delivery)?;
        busy += start.elapsed();
        let start = Instant::now();
        sink.poll(start)?;
        longest_poll = longest_poll.max(start.elapsed());
    }
    drop(sink);
    std::fs::remove_dir_all(directory)?;
    let messages = u32::try_from(timed.len() * ROWS)?;
    Ok((busy.as_secs_f64() * 1e9 / f64::from(messages), longest_poll))
}

fn main() -> Result<(), Box<dyn Error>> {
    let deliveries = batches(2000)?;
    let mut out = std::io::stdout().lock();
    for _ in 0..3 {
        for (count, kind) in [
            (0, RuleKind::Threshold),
            (1, RuleKind::Threshold),
            (10, RuleKind::Threshold),
            (1, RuleKind::Window),
            (10, RuleKind::Window),
        ] {
            let (nanoseconds, poll) = measure(rules(count, kind), &deliveries)?;
            writeln!(out, "{count:2} {kind:?} rules: {nanoseconds:6.0} ns a message, longest poll {poll:?}")?;
        }
    }
    Ok(())
}
