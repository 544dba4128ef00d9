//! Unmodified device SDKs: file uploads, modules, plug and play, tokens that are renewed or the application's own, refusals.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use millrace_protocols_identity::{ConnectionString, sas};
use millrace_tests::hub::Hub;
use millrace_tests::sdk::{Sdk, Service, merged};
use serde_json::{Value, json};

/// A thermostat's model, in DTDL 2.
const MODEL: &str = r#"{"@context": "dtmi:dtdl:context;2", "@id": "dtmi:com:example:Thermostat;1", "@type": "Interface",
  "contents": [
    {"@type": "Telemetry", "name": "temperature", "schema": "double"},
    {"@type": "Property", "name": "target", "schema": "double", "writable": true},
    {"@type": "Command", "name": "reboot", "request": {"name": "delay", "schema": "integer"}}]}"#;

#[test]
fn files_are_uploaded_with_the_blob_library() -> Result<()> {
    let mut hub = Hub::start_for_sdks("[files]\nnotifications = true\n", 60)?;
    let string = hub.device(&["create", "camera"])?.trim().to_owned();
    // Small enough for one request, and so large that it comes in blocks.
    for (sdk, bytes) in [(Sdk::Python, 1_000), (Sdk::Python, 300_000), (Sdk::Node, 300_000)] {
        let mut device = sdk.connect(&hub, json!({"connection_string": string}))?;
        let content: Vec<u8> = (0..bytes).map(|at: u32| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
        let name = format!("{sdk:?}/{bytes}.bin");
        device.ask("upload", json!({"name": name, "content": base64(&content), "ca": hub.ca()}))?;
        let path = hub.data().join("files").join("uploads").join("camera").join(&name);
        let stored = fs::read(&path).with_context(|| format!("{} is not there", path.display()))?;
        assert!(stored == content, "{name} is not what was sent");
    }
    let mut device = Sdk::Python.connect(&hub, json!({"connection_string": string}))?;
    for climbing in ["../other/secret", "a/../../b", "..%2f..%2fetc"] {
        let attempt = device.ask("upload", json!({"name": climbing, "content": base64(b"x"), "ca": hub.ca()}));
        assert!(attempt.is_err() || !hub.data().join("files/uploads/other").exists(), "{climbing}");
    }
    assert!(hub.stop()?.success());
    Ok(())
}

#[test]
fn modules_have_twins_and_methods_of_their_own() -> Result<()> {
    let mut hub = Hub::start_for_sdks("", 61)?;
    hub.device(&["create", "gateway"])?;
    let mut service = Service::python(&hub, "iothubowner")?;
    let module = json!(["gateway", "filter", "", "", ""]);
    let made = service.call("registry", "create_module_with_sas", module)?;
    let key = made["authentication"]["symmetricKey"]["primaryKey"].as_str().context("no key")?.to_owned();
    let host = hub.https.context("no HTTPS")?.ip();
    let string = format!("HostName={host};DeviceId=gateway;ModuleId=filter;SharedAccessKey={key}");
    for (number, sdk) in [Sdk::Python, Sdk::Node].into_iter().enumerate() {
        let credential = json!({"connection_string": string, "module": true});
        let mut client = sdk.connect(&hub, credential)?;
        client.ask("send", json!({"body": "from a module"}))?;
        client.ask("report", json!({"patch": {"round": number}}))?;
        let twin = service.call("registry", "get_module_twin", json!(["gateway", "filter"]))?;
        assert_eq!(twin["properties"]["reported"]["round"], number, "{twin}");
        let patch = json!({"model": "Twin", "of": {"properties": {"desired": {"level": number + 1}}}});
        client.ask("listen", json!({"to": ["desired"]}))?;
        service.call("registry", "update_module_twin", json!(["gateway", "filter", patch, "*"]))?;
        while client.event("desired")?["patch"]["level"] != number + 1 {}
    }
    let twin = service.call("registry", "get_twin", json!(["gateway"]))?;
    assert!(twin["properties"]["reported"]["round"].is_null(), "the device's own twin is another one");
    assert!(hub.stop()?.success());
    Ok(())
}

#[test]
fn a_model_id_makes_a_digital_twin() -> Result<()> {
    let mut hub = Hub::start_for_sdks("", 62)?;
    let string = hub.device(&["create", "thermostat"])?.trim().to_owned();
    let file = hub.scratch().join("thermostat.json");
    fs::write(&file, MODEL)?;
    hub.operate(&["model", "add", file.to_str().context("path")?])?;
    let mut service = Service::python(&hub, "iothubowner")?;
    let model = "dtmi:com:example:Thermostat;1";
    for (number, sdk) in [Sdk::Python, Sdk::Node].into_iter().enumerate() {
        let mut device = sdk.connect(&hub, json!({"connection_string": string, "model": model}))?;
        device.ask("listen", json!({"to": ["desired", "methods"]}))?;
        let target = 20 + number;
        let patch = json!([{"op": "add", "path": "/target", "value": target}]);
        service.call("digital_twin", "update_digital_twin", json!(["thermostat", patch]))?;
        let mut change = device.event("desired")?;
        while change["patch"]["target"] != target {
            change = device.event("desired")?;
        }
        let version = &change["patch"]["$version"];
        let answer = json!({"target": {"value": target, "ac": 200, "av": version, "ad": "done"}});
        device.ask("report", json!({"patch": answer}))?;
        let twin = service.call("digital_twin", "get_digital_twin", json!(["thermostat"]))?;
        assert_eq!(
            (twin["target"].as_u64(), twin["$metadata"]["$model"].as_str()),
            (u64::try_from(target).ok(), Some(model)),
            "{twin}"
        );
        assert_eq!(twin["$metadata"]["target"]["ackCode"], 200, "{twin}");
        let reply = service.call("digital_twin", "invoke_command", json!(["thermostat", "reboot", 5, 30, 30]))?;
        assert_eq!(reply["echo"], 5, "{reply}");
        let wrong = service.refused("digital_twin", "invoke_command", json!(["thermostat", "reboot", "soon", 5, 5]))?;
        assert!(wrong.contains("400"), "the model says that it is a number: {wrong}");
    }
    assert!(hub.stop()?.success());
    Ok(())
}

#[test]
fn tokens_are_renewed_and_end_sessions_when_they_are_over() -> Result<()> {
    let mut hub = Hub::start_for_sdks("", 63)?;
    let string = hub.device(&["create", "t1"])?.trim().to_owned();
    // The SDK renews 120 seconds before the end, so ten seconds after it has connected, and does not subscribe again.
    let mut device = Sdk::Python.connect(&hub, json!({"connection_string": string, "sastoken_ttl": 130}))?;
    device.ask("listen", json!({"to": ["commands"]}))?;
    device.event("connected")?;
    device.event("disconnected")?;
    device.event("connected")?;
    hub.operate(&["command", "send", "t1", "after the renewal"])?;
    assert_eq!(device.event("command")?["body"], "after the renewal");
    drop(device);
    for sdk in [Sdk::Python, Sdk::Node] {
        let mut device = sdk.connect(&hub, json!({"sas": token(&string, 600)?}))?;
        device.ask("send", json!({"body": "with the application's own token"}))?;
    }
    let mut late = Sdk::Python.start(&hub)?;
    let past = token(&string, -3_600)?;
    let created = late.ask("create", merged(Sdk::Python.options(&hub), json!({"sas": past})));
    assert!(
        created.is_err() || late.refused("connect", json!({}))?.contains("Credential"),
        "an old token opens nothing"
    );
    assert!(hub.stop()?.success());
    Ok(())
}

/// A token for the device of a connection string that is good for so many seconds.
fn token(string: &str, seconds: i64) -> Result<String> {
    let parsed = ConnectionString::parse(string)?;
    let key = parsed.key().context("no key")?;
    let device = parsed.device_id.as_deref().context("no device")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let end = now.checked_add_signed(seconds).context("time")?;
    Ok(sas::sign(&format!("{}%2Fdevices%2F{device}", parsed.host_name), key, end, None))
}

fn base64(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}
