//! Builds the sink of every endpoint and starts its driver.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use millrace_journal::Journal;
use millrace_model::{DeadLetter, ShardId, Sink, Watermark};
use millrace_router::{DriverConfig, DriverHandle, Routes, Wake, driver};
use millrace_sinks_alerts::{AlertsConfig, AlertsSink, EventPublisher};
use millrace_sinks_kafka::KafkaSink;
use millrace_sinks_parquet::ParquetSink;

use super::publisher::TopicPublisher;
use crate::config::{Endpoint, EndpointKind};

/// Kafka gathers what came within this time anyway (`linger.ms`).
const KAFKA_WAKE: Duration = Duration::from_millis(5);

/// Nobody waits for a row to enter a file.
const PARQUET_WAKE: Duration = Duration::from_millis(50);

/// What all endpoints share.
pub(crate) struct Surroundings<'a> {
    pub(crate) data_directory: &'a Path,
    pub(crate) journals: &'a [Journal],
    pub(crate) routes: &'a Arc<Routes>,
    pub(crate) dead_letters: &'a Arc<dyn DeadLetter>,
    pub(crate) endpoints: &'a [Endpoint],
}

/// Starts every endpoint.
pub(crate) fn start_all(around: &Surroundings<'_>) -> anyhow::Result<Vec<DriverHandle>> {
    around.endpoints.iter().map(|endpoint| start_one(around, endpoint)).collect()
}

fn start_one(around: &Surroundings<'_>, endpoint: &Endpoint) -> anyhow::Result<DriverHandle> {
    let name = endpoint.name.as_str();
    let dead_letter = Arc::clone(around.dead_letters);
    let (sink, wake): (Box<dyn Sink>, Wake) = match &endpoint.kind {
        EndpointKind::Alerts(config) => (Box::new(alerts(around, name, config)?), Wake::EachSync),
        EndpointKind::Kafka(config) => {
            let sink = KafkaSink::new(name, config, dead_letter).with_context(|| format!("endpoint {name}"))?;
            (Box::new(sink), Wake::Every(KAFKA_WAKE))
        }
        EndpointKind::Parquet(config) => {
            let directory = around.data_directory.join(name);
            let sink =
                ParquetSink::new(name, config, &directory, dead_letter).with_context(|| format!("endpoint {name}"))?;
            (Box::new(sink), Wake::Every(PARQUET_WAKE))
        }
    };
    let config = DriverConfig { directory: around.data_directory.to_owned(), wake };
    let driver = driver::start(name, sink, around.journals.to_vec(), Arc::clone(around.routes), &config)?;
    if wake == Wake::EachSync {
        around.journals.iter().for_each(|journal| journal.durable().listen(driver.listener()));
    }
    Ok(driver)
}

fn alerts(around: &Surroundings<'_>, name: &str, config: &AlertsConfig) -> anyhow::Result<AlertsSink> {
    let mut publishers: HashMap<String, Box<dyn EventPublisher>> = HashMap::new();
    for (action, topic) in &config.topics {
        let kafka = around.endpoints.iter().find_map(|endpoint| match &endpoint.kind {
            EndpointKind::Kafka(kafka) if endpoint.name == topic.kafka => Some(kafka),
            _ => None,
        });
        let kafka = kafka.with_context(|| format!("endpoint {name}: topic {action} names no Kafka endpoint"))?;
        publishers.insert(action.clone(), Box::new(TopicPublisher::new(kafka, &topic.topic)?));
    }
    let directory = around.data_directory.join("alerts");
    let mut sink = AlertsSink::new(name, config, &directory, publishers).with_context(|| format!("endpoint {name}"))?;
    for (number, journal) in around.journals.iter().enumerate() {
        sink.follow(ShardId(u16::try_from(number)?), Arc::clone(journal.durable()));
    }
    Ok(sink)
}

/// For each shard, how far the slowest Kafka endpoint has come; nothing without a Kafka endpoint.
pub(crate) fn kafka_watermarks(
    endpoints: &[Endpoint],
    drivers: &[DriverHandle],
    shards: usize,
) -> Vec<Option<Arc<Watermark>>> {
    let is_kafka = |endpoint: &&Endpoint| matches!(endpoint.kind, EndpointKind::Kafka(_));
    let names: Vec<&str> = endpoints.iter().filter(is_kafka).map(|endpoint| endpoint.name.as_str()).collect();
    let kafka: Vec<&DriverHandle> = drivers.iter().filter(|driver| names.contains(&driver.name())).collect();
    (0..shards)
        .map(|shard| {
            let each: Vec<Arc<Watermark>> =
                kafka.iter().filter_map(|driver| driver.safe().get(shard).cloned()).collect();
            slowest(&each)
        })
        .collect()
}

/// A watermark that stands where the slowest of others stands.
fn slowest(each: &[Arc<Watermark>]) -> Option<Arc<Watermark>> {
    let start = each.iter().map(|watermark| watermark.offset()).min()?;
    let slowest = Arc::new(Watermark::new(start));
    for watermark in each {
        let (all, slowest) = (each.to_vec(), Arc::clone(&slowest));
        let listener = move |_| {
            if let Some(offset) = all.iter().map(|watermark| watermark.offset()).min() {
                slowest.advance(offset);
            }
        };
        watermark.listen(Box::new(listener));
    }
    Some(slowest)
}
