//! The unmodified Python SDK `azure-iot-device`, with the connection string that `millrace device create` printed.

use std::process::Command;

use anyhow::{Context as _, Result};
use millrace_tests::hub::Hub;
use millrace_tests::programs::run;
use millrace_tests::python::{script, venv};
use serde_json::Value;

#[test]
fn the_python_sdk_connects_sends_and_is_sent_away() -> Result<()> {
    let python = venv()?;
    let mut hub = Hub::start_for_sdks("", 1)?;
    let device = hub.device(&["create", "py-1"])?;
    let marker = hub.scratch().join("sent");
    let mut sdk = Command::new(&python)
        .arg(script("device_sdk.py"))
        .arg(hub.ca())
        .arg(&marker)
        .env("DEVICE", device.trim())
        .spawn()?;
    hub.wait("the SDK to send", |_| Ok(marker.exists()))?;
    hub.device(&["disable", "py-1"])?;
    let status = sdk.wait()?;
    assert!(status.success(), "the SDK ended with {status}\n{}", hub.log());
    assert!(hub.stop()?.success());
    let rows = run(Command::new(&python).arg(script("read_device.py")).arg(hub.data().join("parquet")).arg("py-1"))?;
    let rows: Vec<Value> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(rows.len(), 4, "{rows:#?}");
    for (number, row) in rows.iter().take(3).enumerate() {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        assert_eq!(text("body"), format!("{{\"number\": {number}}}"));
        assert_eq!(text("message_id"), format!("m {number}"));
        assert_eq!(text("content_type"), "application/json");
        assert_eq!(text("content_encoding"), "utf-8");
        assert_eq!(text("correlation_id"), "c/1");
        let properties = row.get("properties").context("no properties")?;
        assert_eq!(properties.get("site & place").and_then(Value::as_str), Some("north=é/1"));
    }
    assert_eq!(rows[3]["body"], "plain");
    Ok(())
}
