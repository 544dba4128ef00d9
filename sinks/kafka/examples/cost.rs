//! What a message costs this process: `cargo run --release -p millrace-sinks-kafka --example cost -- BOOTSTRAP TOPIC [MESSAGES] [BAG]`
//! - Units: microseconds of CPU (user and kernel, all threads, from `/proc/self/stat`, so to 10 ms) per acknowledged message.
//! - Shape: batches of 1,000 messages of 92 bytes from 100 devices, each message with the properties of BAG (default: none).

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_model::batch::IdentitySlot;
use millrace_model::{
    BatchBuilder, DeadLetter, Delivery, Identity, IdentityRef, Message, MessageSource, Offset, Selection, ShardId,
    Sink, SinkError, Timestamp,
};
use millrace_sinks_kafka::{KafkaConfig, KafkaSink};

const DEVICES: u64 = 100;
const ROWS: u64 = 1_000;
const BODY: &[u8; 92] =
    b"{\"temperature\":21.53,\"humidity\":44.1,\"pressure\":1013.25,\"battery\":3.71,\"sequence\":000123456}";

/// Nothing here is ever refused.
struct NoLetters;

impl DeadLetter for NoLetters {
    fn put(&self, _message: &Message<'_>, _endpoint: &str, reason: &str) -> std::io::Result<()> {
        Err(std::io::Error::other(reason.to_owned()))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap_servers = arguments.next().ok_or("BOOTSTRAP is missing")?;
    let topic = arguments.next().ok_or("TOPIC is missing")?;
    let count: u64 = arguments.next().map_or(Ok(2_000_000), |text| text.parse())?;
    let bag = arguments.next().unwrap_or_default();
    let config = KafkaConfig { bootstrap_servers, topic, ..KafkaConfig::default() };
    let mut sink = KafkaSink::new("cost", &config, Arc::new(NoLetters))?;
    let template = delivery(0, bag.as_bytes())?.batch.columns().clone();
    let (start, cpu) = (Instant::now(), cpu_micros()?);
    for base in (0..count).step_by(usize::try_from(ROWS)?) {
        // What the making of a batch costs is not the sink's: it only copies columns here.
        let batch = Arc::new(millrace_model::Batch::from_columns(ShardId(0), Offset(base), template.clone())?);
        let delivery = Delivery { selected: Selection::all(batch.len()), batch, enrichments: Arc::new([]) };
        while let Err(error) = sink.deliver(&delivery) {
            // An outage is waited for, so that one can be made to see what memory does.
            let (SinkError::Busy | SinkError::Unavailable(_)) = error else { return Err(error.into()) };
            if let Err(SinkError::Broken(reason)) = sink.poll(Instant::now()) {
                return Err(reason.into());
            }
        }
    }
    sink.drain(Instant::now() + Duration::from_secs(60))?;
    let (micros, seconds) = (cpu_micros()? - cpu, start.elapsed().as_secs_f64());
    let count = f64::from(u32::try_from(count)?);
    let text = format!("{:.2} us CPU a message, {:.0} messages a second\n", f64::from(micros) / count, count / seconds);
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?;
    Ok(())
}

fn delivery(base: u64, bag: &[u8]) -> Result<Delivery, Box<dyn Error>> {
    let mut builder = BatchBuilder::new();
    for row in 0..ROWS {
        let fields = IdentityRef {
            device_id: &format!("device-{:05}", row % DEVICES),
            generation_id: "1",
            auth_method: "{}",
            ..IdentityRef::default()
        };
        let identity = Identity::new(&fields).ok_or("identity")?;
        let mut slot = IdentitySlot::default();
        builder.append(&identity, &mut slot, MessageSource::Telemetry, Timestamp(1_767_225_600_000), [bag, b""], BODY);
    }
    let batch = Arc::new(builder.seal(ShardId(0), Offset(base)));
    Ok(Delivery { selected: Selection::all(batch.len()), batch, enrichments: Arc::new([]) })
}

/// CPU time of this process so far; a tick of the kernel's accounting is 10 ms.
fn cpu_micros() -> Result<u32, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the program's name in parentheses and may hold blanks; user and kernel time are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')').ok_or("stat")?;
    let mut times = fields.split_whitespace().skip(11);
    let ticks = |field: Option<&str>| -> Result<u32, Box<dyn Error>> { Ok(field.ok_or("stat")?.parse()?) };
    Ok((ticks(times.next())? + ticks(times.next())?) * 10_000)
}
