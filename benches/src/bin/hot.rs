//! Runs one hot function a number of times, for a tool that counts instructions (`benches/instructions.sh`).
//! - Shape: `hot NAME COUNT`: COUNT messages go through NAME. The difference between two counts is free of what setting up costs.
//! - Invariants: no clock, no randomness; batches of 1,000 messages. What has threads waits for them, so that two runs do the same.
//! - Limits: `journal` counts the writer's thread too, which wobbles by some instructions a message.

use std::hint::black_box;

use anyhow::{Context as _, Result, bail};
use millrace_benches::inputs::{self, BODY_BYTES, FULL, Fleet, JSON, PLAIN, ROWS, SHARD, TAGGED};
use millrace_benches::log::Log;
use millrace_benches::sinks::{self, Look};
use millrace_journal::JournalConfig;
use millrace_model::batch::IdentitySlot;
use millrace_model::{BatchBuilder, MessageSource, Offset, Timestamp};
use millrace_protocols_mqtt::{Limits, PubAckReason, Version};
use millrace_router::Scratch;
use millrace_sinks_alerts::RuleKind;

/// Frames in a read buffer.
const FRAMES: u16 = 256;
/// Devices of a batch.
const DEVICES: u64 = 200;
/// Devices of a fleet of which each sends one message into many a batch.
const MANY_DEVICES: u64 = 20_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(count)) = (arguments.next(), arguments.next()) else { bail!("usage: hot NAME COUNT") };
    let count: u64 = count.parse().context("COUNT")?;
    match name.as_str() {
        "ack" => ack(count),
        "alerts-1" => alerts(count, 1),
        "alerts-10" => alerts(count, 10),
        "append" => append(count),
        "decode" => decode(count, Version::V311),
        "decode-v5" => decode(count, Version::V5),
        "journal" => journal(count),
        "parquet" => parquet(count, DEVICES, PLAIN),
        "parquet-many-devices" => parquet(count, MANY_DEVICES, PLAIN),
        "parquet-properties" => parquet(count, DEVICES, FULL),
        "route-1" => route(count, 1, Look::Properties, TAGGED),
        "route-10" => route(count, 10, Look::Properties, TAGGED),
        "route-100" => route(count, 100, Look::Properties, TAGGED),
        "route-body" => route(count, 1, Look::Body, JSON),
        "route-property" => route(count, 1, Look::Property, TAGGED),
        "route-sender" => route(count, 1, Look::Sender, PLAIN),
        other => bail!("no such function: {other}"),
    }
}

/// PUBLISH out of a buffer, and its acknowledgement, without which a client of MQTT 5 may not go on.
fn decode(count: u64, version: Version) -> Result<()> {
    let limits = Limits::default();
    let mut session = inputs::session(version, &limits)?;
    let (mut frames, mut out) = (Vec::new(), Vec::new());
    (1..=FRAMES).for_each(|id| inputs::encode_publish(version, u64::from(id), id, &mut frames));
    for _ in 0..count / u64::from(FRAMES) {
        let mut input = frames.as_slice();
        while let Some(event) = session.next(&limits, black_box(&mut input))? {
            black_box(&event);
        }
        out.clear();
        (1..=FRAMES).for_each(|id| session.ack(black_box(id), PubAckReason::Success, &mut out));
    }
    Ok(())
}

fn ack(count: u64) -> Result<()> {
    let mut session = inputs::session(Version::V311, &Limits::default())?;
    let mut out = Vec::new();
    for _ in 0..count / u64::from(FRAMES) {
        out.clear();
        (1..=FRAMES).for_each(|id| session.ack(black_box(id), PubAckReason::Success, &mut out));
        black_box(out.len());
    }
    Ok(())
}

/// Each device sends a message in turn; the batch is sealed and dropped.
fn append(count: u64) -> Result<()> {
    let identities: Option<Vec<_>> = (0..DEVICES).map(inputs::identity).collect();
    let identities = identities.context("identity")?;
    let mut slots = vec![IdentitySlot::default(); identities.len()];
    let (mut builder, body) = (BatchBuilder::new(), [b'1'; BODY_BYTES]);
    for _ in 0..count / ROWS {
        for _ in 0..ROWS / DEVICES {
            for (identity, slot) in identities.iter().zip(&mut slots) {
                builder.append(identity, slot, MessageSource::Telemetry, Timestamp(1), [b"", b""], black_box(&body));
            }
        }
        black_box(builder.seal(SHARD, Offset(0)));
    }
    Ok(())
}

/// The same batch again and again, each durable before the next. Without sync: the kernel's instructions are not counted anyway.
fn journal(count: u64) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let config = JournalConfig { sync: false, sync_interval_us: 0, ..JournalConfig::default() };
    let mut log = Log::open(directory.path(), &config)?;
    let columns = Fleet::new(DEVICES, PLAIN)?.columns(1);
    for _ in 0..count / ROWS {
        log.append(log.place(&columns)?)?;
        log.trim();
    }
    log.close()
}

fn route(count: u64, routes: u64, look: Look, bag: &'static str) -> Result<()> {
    let table = sinks::routes(routes, look)?;
    let batch = Fleet::new(DEVICES, bag)?.batch(ROWS);
    let mut scratch = Scratch::default();
    for _ in 0..count / ROWS {
        black_box(table.route(black_box(&batch), &mut scratch));
    }
    Ok(())
}

/// Whole batches into a file, which is completed at the end.
fn parquet(count: u64, devices: u64, bag: &'static str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut sink = sinks::parquet(directory.path())?;
    let mut fleet = Fleet::new(devices, bag)?;
    for _ in 0..count / ROWS {
        sinks::deliver(&mut sink, &fleet.delivery(ROWS))?;
    }
    sinks::drain(&mut sink)
}

fn alerts(count: u64, rules: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut sink = sinks::alerts(directory.path(), rules, RuleKind::Threshold)?;
    let mut fleet = Fleet::new(DEVICES, JSON)?;
    for _ in 0..count / ROWS {
        sinks::deliver(&mut sink, &fleet.delivery(ROWS))?;
    }
    Ok(())
}
