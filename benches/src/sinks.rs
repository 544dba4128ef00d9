//! Sinks as a router would drive them, with nothing behind them that costs: a scratch directory, rules that never fire.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use millrace_model::{DeadLetter, Delivery, Message, Offset, Sink, SinkError};
use millrace_router::{FallbackSpec, RouteSpec, RouteTable};
use millrace_sinks_alerts::{Aggregate, AlertsConfig, AlertsSink, RuleConfig, RuleKind};
use millrace_sinks_kafka::{HeaderSet, KafkaConfig, KafkaSink};
use millrace_sinks_parquet::{ParquetConfig, ParquetSink};

use crate::inputs::SHARD;

/// What a sink may take to complete what is open.
const DRAIN: Duration = Duration::from_secs(120);

/// Nothing here is ever refused, so a letter is an error.
#[derive(Debug)]
struct NoLetters;

impl DeadLetter for NoLetters {
    fn put(&self, _message: &Message<'_>, _endpoint: &str, reason: &str) -> std::io::Result<()> {
        Err(std::io::Error::other(reason.to_owned()))
    }
}

/// A Kafka sink for the topic `telemetry`.
///
/// # Errors
/// When librdkafka refuses.
pub fn kafka(bootstrap_servers: String, headers: HeaderSet) -> Result<KafkaSink> {
    let config = KafkaConfig { bootstrap_servers, headers, ..KafkaConfig::default() };
    Ok(KafkaSink::new("bench", &config, Arc::new(NoLetters))?)
}

/// A Parquet sink with the default options (zstd 1) that writes below `directory`.
///
/// # Errors
/// When the directory cannot be used.
pub fn parquet(directory: &Path) -> Result<ParquetSink> {
    let mut sink = ParquetSink::new("bench", &ParquetConfig::default(), directory, Arc::new(NoLetters))?;
    sink.resume(SHARD, Offset(0))?;
    Ok(sink)
}

/// An alert sink with rules of one kind, none of which ever fires.
///
/// # Errors
/// When the directory cannot be used.
pub fn alerts(directory: &Path, rules: usize, kind: RuleKind) -> Result<AlertsSink> {
    let is_window = kind == RuleKind::Window;
    let rule = |number: usize| RuleConfig {
        name: format!("rule-{number}"),
        kind,
        value: Some(if number.is_multiple_of(2) { "$.temperature" } else { "$.humidity" }.to_owned()),
        aggregate: is_window.then_some(Aggregate::Avg),
        seconds: is_window.then_some(60),
        above: Some(1000.0),
        actions: vec!["log".to_owned()],
        ..RuleConfig::default()
    };
    let config = AlertsConfig { rules: (0..rules).map(rule).collect(), ..AlertsConfig::default() };
    Ok(AlertsSink::new("bench", &config, directory, HashMap::new())?)
}

/// What the conditions of a table look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Who sent the message.
    Sender,
    /// One application property, compared with a text.
    Property,
    /// Two application properties, one of them compared with a number.
    Properties,
    /// Two fields of the JSON body.
    Body,
}

/// Routes with conditions that differ, spread over four endpoints. About one message in four is taken.
///
/// # Errors
/// Never, as long as the language knows these conditions.
pub fn routes(count: u64, look: Look) -> Result<RouteTable> {
    let endpoints: Vec<String> = (0..4).map(|number| format!("endpoint-{number}")).collect();
    let condition = |number: u64| match look {
        Look::Sender => format!("$connectionDeviceId = 'device-{:07}'", number % 100),
        Look::Property => {
            format!("site = '{}'", ["north", "south", "east", "west"][usize::try_from(number % 4).unwrap_or(0)])
        }
        Look::Properties => format!("site = 'north' AND level > {}", number % 5),
        Look::Body => format!("$body.temperature > {} AND $body.humidity < 45", 20 + number % 10),
    };
    let route = |number: u64| RouteSpec {
        name: format!("route-{number}"),
        condition: condition(number),
        endpoints: endpoints.get(usize::try_from(number % 4).unwrap_or(0)).cloned().into_iter().collect(),
        ..RouteSpec::default()
    };
    let routes: Vec<RouteSpec> = (0..count).map(route).collect();
    let fallback = FallbackSpec { enabled: false, ..FallbackSpec::default() };
    let table = RouteTable::compile(&routes, &[], &fallback, &endpoints, "hub");
    table.or_else(|errors| bail!("{errors:?}"))
}

/// Delivers, and lets the sink work while it is busy.
///
/// # Errors
/// Those of the sink that are more than a wait.
pub fn deliver(sink: &mut impl Sink, delivery: &Delivery) -> Result<()> {
    loop {
        match sink.deliver(delivery) {
            Ok(()) => return Ok(()),
            Err(SinkError::Busy) => sink.poll(Instant::now())?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until the sink has made everything safe.
///
/// # Errors
/// When it could not.
pub fn drain(sink: &mut impl Sink) -> Result<()> {
    Ok(sink.drain(Instant::now() + DRAIN)?)
}
