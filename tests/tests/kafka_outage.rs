//! Kafka, Parquet and alerts together: a dead broker holds up nobody, and gets everything when it returns.

use std::time::Duration;

use anyhow::Result;
use millrace_tests::hub::Hub;
use millrace_tests::kafka::KafkaServer;
use millrace_tests::load::Load;

fn configuration(bootstrap: &str) -> String {
    format!(
        "
[endpoints.parquet]
type = \"parquet\"
file_seconds = 1
[endpoints.kafka]
type = \"kafka\"
bootstrap_servers = \"{bootstrap}\"
topic = \"outage\"
[[routes]]
name = \"both\"
source = \"DeviceMessages\"
endpoints = [\"kafka\", \"parquet\"]
[shutdown]
drain_seconds = 60
"
    )
}

#[test]
fn a_broker_killed_under_load_gets_everything_when_it_returns() -> Result<()> {
    let kafka = KafkaServer::start()?;
    kafka.create_topic("outage", 3, &[])?;
    let mut hub = Hub::start(&configuration(kafka.bootstrap()))?;
    let devices = hub.devices(20)?;
    let mut load = Load::start(&hub, &devices, &["--connections", "20", "--rate", "1000", "--duration", "20"])?;
    hub.wait("messages in Kafka", |hub| Ok(hub.metric("millrace_kafka_acknowledged_total")? > 100.0))?;
    kafka.kill()?;
    let before = hub.metric("millrace_ingest_acknowledged_total")?;
    hub.wait("acknowledgements without Kafka", |hub| {
        Ok(hub.metric("millrace_ingest_acknowledged_total")? > before + 3000.0)
    })?;
    std::thread::sleep(Duration::from_secs(1));
    kafka.restart()?;
    load.finish()?;
    hub.wait("Kafka to catch up", |hub| Ok(hub.metric("millrace_sink_behind_messages")? == 0.0 || all_sent(hub)?))?;
    assert!(hub.stop()?.success(), "{}", hub.log());
    let parquet = hub.data().join("parquet");
    let (code, verdict) = load.verify(&["--parquet", &parquet.to_string_lossy()])?;
    assert_eq!(code, 0, "Parquet: {verdict:#}");
    let (code, verdict) = load.verify(&["--kafka", kafka.bootstrap(), "--topic", "outage", "--allow-duplicates"])?;
    assert_eq!(code, 0, "Kafka: {verdict:#}");
    Ok(())
}

/// Parquet is behind by its open file; Kafka must not be.
fn all_sent(hub: &Hub) -> Result<bool> {
    let (_, metrics) = hub.get("/metrics")?;
    Ok(metrics.lines().any(|line| line == "millrace_sink_behind_messages{sink=\"kafka\"} 0"))
}

#[test]
fn the_level_kafka_acknowledges_what_the_broker_has() -> Result<()> {
    let kafka = KafkaServer::start()?;
    kafka.create_topic("outage", 1, &[])?;
    let text = format!("{}\n[mqtt]\nacknowledge = \"kafka\"\n", configuration(kafka.bootstrap()));
    let hub = Hub::start(&text)?;
    let devices = hub.devices(2)?;
    let mut load = Load::start(&hub, &devices, &["--connections", "2", "--rate", "100", "--duration", "3"])?;
    let report = load.finish()?;
    // Not drained, not stopped: what is acknowledged is there already.
    let (code, verdict) = load.verify(&["--kafka", kafka.bootstrap(), "--topic", "outage", "--allow-duplicates"])?;
    assert_eq!(code, 0, "{verdict:#}\n{report:#}");
    Ok(())
}
