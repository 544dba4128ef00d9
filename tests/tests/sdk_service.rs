//! Unmodified service SDKs of Python and Node over REST: registry, twins, queries, jobs, configurations, permissions.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use millrace_tests::hub::{Hub, PATIENCE};
use millrace_tests::sdk::{Sdk, Service};
use serde_json::{Value, json};

const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

/// Asks until the answer is as wanted.
fn until(what: &str, mut ask: impl FnMut() -> Result<Value>, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask()?;
        if wanted(&answer) {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "waited in vain for {what}: {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn python_looks_after_identities() -> Result<()> {
    let mut hub = Hub::start_for_sdks("", 40)?;
    let mut python = Service::python(&hub, "iothubowner")?;
    // Every character that an id may have, in a path.
    let odd = "a-b.c+d%e_f#g*h?i!j(k)l,m=n@o$p'q:r;s";
    for id in ["d1", odd] {
        let device = python.call("registry", "create_device_with_sas", json!([id, KEY, KEY, "enabled"]))?;
        assert_eq!((device["deviceId"].as_str(), device["status"].as_str()), (Some(id), Some("enabled")));
        assert_eq!(
            python.call("registry", "get_device", json!([id]))?["authentication"]["symmetricKey"]["primaryKey"],
            KEY
        );
    }
    let conflict = python.refused("registry", "create_device_with_sas", json!(["d1", KEY, KEY, "enabled"]))?;
    assert!(conflict.contains("409"), "{conflict}");
    let device = python.call("registry", "get_device", json!(["d1"]))?;
    let stale =
        python.refused("registry", "update_device_with_sas", json!(["d1", "AAAAAAAAAAA=", KEY, KEY, "disabled"]))?;
    assert!(stale.contains("412"), "{stale}");
    let update = json!(["d1", device["etag"], KEY, KEY, "disabled", false, "lost"]);
    let updated = python.call("registry", "update_device_with_sas", update)?;
    assert_eq!((updated["status"].as_str(), updated["statusReason"].as_str()), (Some("disabled"), Some("lost")));
    python.call("registry", "create_module_with_sas", json!(["d1", "m1", "edge", "", ""]))?;
    let module = python.call("registry", "get_module", json!(["d1", "m1"]))?;
    assert_eq!((module["moduleId"].as_str(), module["managedBy"].as_str()), (Some("m1"), Some("edge")));
    assert_eq!(python.call("registry", "get_modules", json!(["d1"]))?.as_array().map(Vec::len), Some(1));
    let twin = json!({"model": "Twin", "of": {"properties": {"desired": {"level": 3}}}});
    let twin = python.call("registry", "update_module_twin", json!(["d1", "m1", twin, "*"]))?;
    assert_eq!(twin["properties"]["desired"]["level"], 3);
    let thumbprint = "A".repeat(40);
    python.call("registry", "create_device_with_x509", json!(["x1", thumbprint, thumbprint, "enabled"]))?;
    python.call("registry", "create_device_with_certificate_authority", json!(["x2", "enabled"]))?;
    assert_eq!(python.call("registry", "get_device", json!(["x2"]))?["authentication"]["type"], "certificateAuthority");
    let bulk: Vec<Value> = (0..100)
        .map(|number| json!({"model": "ExportImportDevice", "of": {"id": format!("b{number}"), "importMode": "create",
             "status": "enabled", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}}}))
        .collect();
    let done = python.call("registry", "bulk_create_or_update_devices", json!([bulk]))?;
    assert_eq!(done["isSuccessful"], true, "{done}");
    let statistics = python.call("registry", "get_device_registry_statistics", json!([]))?;
    assert_eq!(
        (statistics["totalDeviceCount"].as_u64(), statistics["disabledDeviceCount"].as_u64()),
        (Some(104), Some(1))
    );
    assert_eq!(python.call("registry", "get_service_statistics", json!([]))?["connectedDeviceCount"], 0);
    assert_eq!(python.call("registry", "get_devices", json!([50]))?.as_array().map(Vec::len), Some(50));
    python.call("registry", "delete_module", json!(["d1", "m1"]))?;
    python.call("registry", "delete_device", json!([odd]))?;
    let gone = python.refused("registry", "get_device", json!([odd]))?;
    assert!(gone.contains("404"), "{gone}");
    assert!(hub.stop()?.success());
    Ok(())
}

#[test]
fn python_queries_and_configures() -> Result<()> {
    let mut hub = Hub::start_for_sdks("", 41)?;
    let mut python = Service::python(&hub, "iothubowner")?;
    let devices: Vec<Value> = (0..25)
        .map(|number| json!({"model": "ExportImportDevice", "of": {"id": format!("d{number:02}"), "importMode": "create",
             "status": "enabled", "authentication": {"type": "sas"}, "tags": {"site": if number < 20 { "A" } else { "B" }}}}))
        .collect();
    python.call("registry", "bulk_create_or_update_devices", json!([devices]))?;
    let ask = |text: &str| json!({"model": "QuerySpecification", "of": {"query": text}});
    let page = python.call(
        "registry",
        "query_iot_hub",
        json!([ask("SELECT * FROM devices WHERE tags.site = 'A'"), null, 15]),
    )?;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(15), "{page}");
    let rest = json!([ask("SELECT * FROM devices WHERE tags.site = 'A'"), page["continuation"], 15]);
    let rest = python.call("registry", "query_iot_hub", rest)?;
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(5), "{rest}");
    assert!(rest["continuation"].is_null());
    let text = "SELECT tags.site AS site, COUNT() AS devices FROM devices GROUP BY tags.site";
    let groups = python.call("registry", "query_iot_hub", json!([ask(text)]))?;
    assert!(groups["items"].as_array().is_some_and(|rows| rows.len() == 2), "{groups}");
    for bad in ["SELECT", "DROP TABLE identity", "SELECT * FROM devices WHERE tags.site = 'A'; DELETE FROM identity"] {
        let refused = python.refused("registry", "query_iot_hub", json!([ask(bad)]))?;
        assert!(refused.contains("400"), "{refused}");
    }
    let content = json!({"deviceContent": {"properties.desired.mode": {"speed": 7}}});
    let of = json!({"id": "fast", "schemaVersion": "1.0", "content": content, "targetCondition": "tags.site = 'B'", "priority": 10,
                    "labels": {}, "metrics": {"queries": {}}});
    python.call("configuration", "create_configuration", json!([{"model": "Configuration", "of": of}]))?;
    until(
        "the configuration to be applied",
        || python.call("registry", "get_twin", json!(["d24"])),
        |twin| twin["properties"]["desired"]["mode"]["speed"] == 7,
    )?;
    assert!(python.call("registry", "get_twin", json!(["d00"]))?["properties"]["desired"]["mode"].is_null());
    until(
        "the configuration to be counted",
        || python.call("configuration", "get_configuration", json!(["fast"])),
        |configuration| configuration["systemMetrics"]["results"]["appliedCount"] == 5,
    )?;
    python.call("configuration", "delete_configuration", json!(["fast"]))?;
    let job = json!({"jobId": "j1", "type": "scheduleUpdateTwin", "updateTwin": {"etag": "*", "tags": {"site": "C"}},
                     "queryCondition": "deviceId IN ['d00', 'd01']", "startTime": "2020-01-01T00:00:00Z",
                     "maxExecutionTimeInSeconds": 60});
    python.call("job", "create_scheduled_job", json!(["j1", {"model": "JobRequest", "of": job}]))?;
    until(
        "the job",
        || python.call("job", "get_scheduled_job", json!(["j1"])),
        |job| job["status"] == "completed" && job["deviceJobStatistics"]["succeededCount"] == 2,
    )?;
    assert_eq!(python.call("registry", "get_twin", json!(["d01"]))?["tags"]["site"], "C");
    assert!(hub.stop()?.success());
    Ok(())
}

#[test]
fn node_does_the_same_and_sees_its_own_errors() -> Result<()> {
    let mut hub = Hub::start_for_sdks("", 42)?;
    let mut node = Service::node(&hub, "iothubowner")?;
    let device = node.call("registry", "create", json!([{"deviceId": "n1"}]))?;
    assert_eq!(device["deviceId"], "n1");
    assert!(device["authentication"]["symmetricKey"]["primaryKey"].as_str().is_some_and(|key| key.len() >= 24));
    let conflict = node.refused("registry", "create", json!([{"deviceId": "n1"}]))?;
    assert!(conflict.contains("DeviceAlreadyExists"), "{conflict}");
    let missing = node.refused("registry", "get", json!(["nobody"]))?;
    assert!(missing.contains("DeviceNotFound"), "{missing}");
    let twin = node.call("registry", "updateTwin", json!(["n1", {"tags": {"site": "N"}}, "*"]))?;
    assert_eq!(twin["tags"]["site"], "N");
    let stale = node.refused("registry", "updateTwin", json!(["n1", {"tags": {"site": "X"}}, "AAAAAAAAAAE="]))?;
    assert!(stale.contains("412") || stale.contains("InvalidEtag") || stale.contains("Precondition"), "{stale}");
    let more: Vec<Value> = (0..30).map(|number| json!({"deviceId": format!("q{number}")})).collect();
    assert_eq!(node.call("registry", "addDevices", json!([more]))?["isSuccessful"], true);
    let (rows, pages) = node.query("registry", "createQuery", json!(["SELECT * FROM devices", 10]))?;
    assert_eq!((rows.len(), pages), (31, 4));
    let call = json!(["n1", {"methodName": "reboot", "payload": null, "responseTimeoutInSeconds": 5}]);
    let offline = node.refused("client", "invokeDeviceMethod", call)?;
    assert!(offline.contains("404"), "{offline}");
    node.call("registry", "delete", json!(["n1"]))?;
    assert!(hub.stop()?.success());
    Ok(())
}

#[test]
fn a_policy_may_do_what_it_names_and_no_more() -> Result<()> {
    let mut hub = Hub::start_for_sdks("", 43)?;
    hub.device(&["create", "d1"])?;
    let mut reader = Service::python(&hub, "registryRead")?;
    assert_eq!(reader.call("registry", "get_device", json!(["d1"]))?["deviceId"], "d1");
    for (name, arguments) in [("delete_device", json!(["d1"])), ("get_twin", json!(["d1"]))] {
        let refused = reader.refused("registry", name, arguments)?;
        assert!(refused.contains("401"), "{name}: {refused}");
    }
    let mut service = Service::python(&hub, "service")?;
    assert_eq!(service.call("registry", "get_twin", json!(["d1"]))?["deviceId"], "d1");
    let refused = service.refused("registry", "delete_device", json!(["d1"]))?;
    assert!(refused.contains("401"), "{refused}");
    let mut device = Service::python(&hub, "device")?;
    let refused = device.refused("registry", "get_device", json!(["d1"]))?;
    assert!(refused.contains("401"), "{refused}");
    assert!(hub.stop()?.success());
    Ok(())
}

#[test]
fn devices_that_connect_now_and_then_use_https() -> Result<()> {
    let mut hub = Hub::start_for_sdks("", 44)?;
    let string = hub.device(&["create", "h1"])?.trim().to_owned();
    let mut device = Sdk::NodeHttp.connect(&hub, json!({"connection_string": string}))?;
    device.ask(
        "send",
        json!({"body": "{\"a\":1}", "message_id": "m1", "content_type": "application/json",
                              "content_encoding": "utf-8", "properties": {"k": "v"}}),
    )?;
    device.ask("send_many", json!({"messages": [{"body": "two"}, {"body": "three", "properties": {"n": "3"}}]}))?;
    hub.operate(&["command", "send", "h1", "wake up", "--message-id", "c1"])?;
    device.ask("listen", json!({"to": ["commands"]}))?;
    let command = device.event("command")?;
    assert_eq!((command["body"].as_str(), command["message_id"].as_str()), (Some("wake up"), Some("c1")));
    drop(device);
    assert!(hub.stop()?.success());
    Ok(())
}
