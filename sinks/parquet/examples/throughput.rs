//! Rows per second of the sink on this machine: 92-byte JSON bodies of 1,000 devices, no properties, zstd 1, one thread.
//! `cargo run --release -p millrace-sinks-parquet --example throughput [BATCHES]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_model::batch::IdentitySlot;
use millrace_model::limits::BATCH_MESSAGES_MAX;
use millrace_model::{
    Batch, BatchBuilder, DeadLetter, Delivery, Identity, IdentityRef, Message, MessageSource, Offset, Selection,
    ShardId, Sink, SinkError, Timestamp,
};
use millrace_sinks_parquet::{ParquetConfig, ParquetSink};

const SHARD: ShardId = ShardId(0);
const DEVICES: usize = 1000;

struct NoLetters;

impl DeadLetter for NoLetters {
    fn put(&self, _: &Message<'_>, _: &str, reason: &str) -> std::io::Result<()> {
        Err(std::io::Error::other(reason.to_owned()))
    }
}

fn main() -> Result<(), SinkError> {
    let batches = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(400);
    let directory = std::env::temp_dir().join(format!("millrace-throughput-{}", std::process::id()));
    let measured = measure(batches, &directory);
    std::fs::remove_dir_all(&directory).unwrap_or_default();
    measured
}

#[expect(clippy::print_stdout, reason = "the result of this program")]
fn measure(batches: u64, directory: &std::path::Path) -> Result<(), SinkError> {
    let mut sink = ParquetSink::new("cold", &ParquetConfig::default(), directory, Arc::new(NoLetters))?;
    sink.resume(SHARD, Offset(0))?;
    let (mut builder, mut next, mut spent, mut longest) =
        (BatchBuilder::new(), Offset(0), Duration::ZERO, Duration::ZERO);
    for _ in 0..batches {
        let batch = Arc::new(fill(&mut builder, next));
        next = batch.end();
        let delivery = Delivery { selected: Selection::all(batch.len()), batch, enrichments: Arc::new([]) };
        loop {
            let started = Instant::now();
            let taken = sink.deliver(&delivery);
            let took = started.elapsed();
            spent += took;
            longest = longest.max(took);
            match taken {
                Ok(()) => break,
                Err(SinkError::Busy) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let started = Instant::now();
    sink.drain(started + Duration::from_secs(600))?;
    spent += started.elapsed();
    let rate = u128::from(next.0) * 1000 / spent.as_millis().max(1);
    println!("{next} rows in {spent:?}: {rate} rows/s; longest delivery {longest:?}");
    Ok(())
}

fn fill(builder: &mut BatchBuilder, base: Offset) -> Batch {
    let identity = |device: usize| {
        let device_id = format!("device-{device:05}");
        let auth_method = r#"{"scope":"device","type":"sas","issuer":"iothub"}"#;
        let fields = IdentityRef { device_id: &device_id, generation_id: "1", auth_method, ..IdentityRef::default() };
        Identity::new(&fields)
    };
    let senders: Vec<_> = (0..DEVICES).filter_map(identity).collect();
    let mut slots = vec![IdentitySlot::default(); senders.len()];
    for (number, message) in (base.0..).zip(0..BATCH_MESSAGES_MAX) {
        let (Some(identity), Some(slot)) = (senders.get(message % DEVICES), slots.get_mut(message % DEVICES)) else {
            break;
        };
        let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let body = format!(
            r#"{{"sequence":{number:08},"temperature":{:05.2},"humidity":{:05.2},"pressure":{:07.2},"ok":true}}"#,
            f64::from(u32::try_from(noise % 4000).unwrap_or(0)) / 100.0,
            f64::from(u32::try_from(noise % 10_000).unwrap_or(0)) / 100.0,
            f64::from(u32::try_from(noise % 110_000).unwrap_or(0)) / 100.0,
        );
        let time = Timestamp(1_795_352_400_000 + i64::try_from(number / 1000).unwrap_or(0));
        builder.append(identity, slot, MessageSource::Telemetry, time, [b"", b""], body.as_bytes());
        if builder.is_full() {
            break;
        }
    }
    builder.seal(SHARD, base)
}
