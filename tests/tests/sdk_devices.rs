//! Unmodified device SDKs of Python and Node, over MQTT and MQTT over WebSocket: twins, methods, commands, reconnection.
//! - Shape: one scenario for all; where an SDK behaves in its own way, the scenario says so.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use millrace_tests::driver::Driver;
use millrace_tests::hub::{Hub, PATIENCE};
use millrace_tests::sdk::{Sdk, Service};
use serde_json::{Value, json};

/// Which loopback address a test's hub has: the test's number, and the SDK's.
fn number(test: u8, sdk: Sdk) -> u8 {
    let own = Sdk::WITH_SESSION.iter().position(|known| *known == sdk).unwrap_or(9);
    test + u8::try_from(own).unwrap_or(9)
}

struct Scene {
    hub: Hub,
    device: Driver,
    service: Service,
    connection_string: String,
}

/// A hub, a connected device `d1`, and somebody who speaks to it.
fn scene(test: u8, sdk: Sdk) -> Result<Scene> {
    let hub = Hub::start_for_sdks("", number(test, sdk))?;
    let connection_string = hub.device(&["create", "d1"])?.trim().to_owned();
    let device = sdk.connect(&hub, json!({"connection_string": connection_string}))?;
    let service = Service::python(&hub, "iothubowner")?;
    Ok(Scene { hub, device, service, connection_string })
}

/// Waits until the hub says so; SDKs tell their applications in different ways, and Node not at all when it connects again.
fn is_connected(service: &mut Service, wanted: bool) -> Result<()> {
    let wanted = if wanted { "Connected" } else { "Disconnected" };
    twin_until(service, wanted, |twin| twin["connectionState"] == wanted)
}

fn twin_until(service: &mut Service, what: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let twin = service.call("registry", "get_twin", json!(["d1"]))?;
        if holds(&twin) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "waited in vain for: {what}: {twin}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn twin_goes_both_ways(sdk: Sdk) -> Result<()> {
    let Scene { mut hub, mut device, mut service, .. } = scene(10, sdk)?;
    let fresh = device.ask("twin", json!({}))?;
    assert_eq!(fresh["desired"]["$version"], 1, "{fresh}");
    device.ask("report", json!({"patch": {"firmware": "1.2", "site": {"row": 3}}}))?;
    let twin = service.call("registry", "get_twin", json!(["d1"]))?;
    assert_eq!(twin["properties"]["reported"]["firmware"], "1.2", "{twin}");
    assert_eq!(twin["properties"]["reported"]["$version"], 2);
    assert_eq!(twin["connectionState"], "Connected");
    device.ask("listen", json!({"to": ["desired"]}))?;
    let patch = json!({"model": "Twin", "of": {"properties": {"desired": {"interval": 10}}}});
    service.call("registry", "update_twin", json!(["d1", patch, "*"]))?;
    // Node tells the whole section first, when the listener is set.
    let mut change = device.event("desired")?;
    while change["patch"]["interval"].is_null() {
        change = device.event("desired")?;
    }
    assert_eq!(change["patch"], json!({"interval": 10, "$version": 2}));
    let read = device.ask("twin", json!({}))?;
    assert_eq!(read["desired"]["interval"], 10);
    device.ask("report", json!({"patch": {"site": null}}))?;
    let twin = service.call("registry", "get_twin", json!(["d1"]))?;
    assert!(twin["properties"]["reported"]["site"].is_null(), "{twin}");
    let bad = device.refused("report", json!({"patch": {"a.b": 1}}))?;
    assert!(bad.contains("400") || bad.contains("a.b") || bad.contains("key"), "{bad}");
    device.ask("twin", json!({}))?;
    assert!(hub.stop()?.success());
    Ok(())
}

fn methods_are_called_and_answered(sdk: Sdk) -> Result<()> {
    let Scene { mut hub, mut device, mut service, .. } = scene(14, sdk)?;
    let method = |name: &str, response: u32| {
        let of = json!({"methodName": name, "payload": {"in": [1, "é"]}, "responseTimeoutInSeconds": response,
                        "connectTimeoutInSeconds": 0});
        json!(["d1", {"model": "CloudToDeviceMethod", "of": of}])
    };
    let offline = service.refused("registry", "invoke_device_method", method("reboot", 5))?;
    assert!(offline.contains("404"), "not subscribed yet: {offline}");
    device.ask("listen", json!({"to": ["methods"]}))?;
    // Node subscribes behind our back.
    let mut answer = service.call("registry", "invoke_device_method", method("reboot", 10));
    let patience = Instant::now() + PATIENCE;
    while answer.as_ref().is_err_and(|error| error.to_string().contains("404")) && Instant::now() < patience {
        answer = service.call("registry", "invoke_device_method", method("reboot", 10));
    }
    let answer = answer?;
    assert_eq!(answer["status"], 200);
    assert_eq!(answer["payload"], json!({"echo": {"in": [1, "é"]}}), "{answer}");
    let event = device.event("method")?;
    assert_eq!((event["name"].as_str(), &event["payload"]["in"][0]), (Some("reboot"), &json!(1)));
    let failed = service.call("registry", "invoke_device_method", method("fail", 10))?;
    assert_eq!(failed["status"], 500, "a device's own failure is an answer");
    let silent = service.refused("registry", "invoke_device_method", method("silent", 5))?;
    assert!(silent.contains("504"), "{silent}");
    assert!(hub.stop()?.success());
    Ok(())
}

fn commands_wait_for_the_device(sdk: Sdk) -> Result<()> {
    let Scene { mut hub, mut device, .. } = scene(18, sdk)?;
    hub.operate(&[
        "command",
        "send",
        "d1",
        "first",
        "--message-id",
        "m 1",
        "--ack",
        "full",
        "--property",
        "k x=v=1/&",
    ])?;
    device.ask("listen", json!({"to": ["commands"]}))?;
    let first = device.event("command")?;
    assert_eq!((first["body"].as_str(), first["message_id"].as_str()), (Some("first"), Some("m 1")));
    assert_eq!(first["properties"]["k x"], "v=1/&", "{first}");
    if sdk.is_python() {
        // Node leaves it among the properties, or out.
        assert_eq!(first["ack"], "full");
    }
    hub.operate(&["command", "send", "d1", "second"])?;
    assert_eq!(device.event("command")?["body"], "second");
    hub.wait("the feedback", |hub| Ok(hub.operate(&["command", "feedback"])?.contains("m 1")))?;
    assert!(hub.stop()?.success());
    Ok(())
}

fn a_restarted_hub_still_knows_the_subscriptions(sdk: Sdk) -> Result<()> {
    let Scene { mut hub, mut device, mut service, .. } = scene(22, sdk)?;
    device.ask("listen", json!({"to": ["desired", "methods", "commands"]}))?;
    hub.operate(&["command", "send", "d1", "before"])?;
    assert_eq!(device.event("command")?["body"], "before");
    // Killed before it has noted the acknowledgement, the hub would rightly deliver it again.
    let is_taken = |twin: &Value| twin["cloudToDeviceMessageCount"] == 0;
    twin_until(&mut service, "the command to be taken", is_taken)?;
    hub.kill()?;
    hub.start_again()?;
    // Python never subscribes again; Node does for some.
    is_connected(&mut service, true)?;
    hub.operate(&["command", "send", "d1", "after"])?;
    assert_eq!(device.event("command")?["body"], "after");
    let patch = json!({"model": "Twin", "of": {"properties": {"desired": {"after": true}}}});
    service.call("registry", "update_twin", json!(["d1", patch, "*"]))?;
    while device.event("desired")?["patch"]["after"].is_null() {}
    let of =
        json!({"methodName": "reboot", "payload": 1, "responseTimeoutInSeconds": 30, "connectTimeoutInSeconds": 30});
    let call = json!(["d1", {"model": "CloudToDeviceMethod", "of": of}]);
    assert_eq!(service.call("registry", "invoke_device_method", call)?["status"], 200);
    assert_eq!(device.ask("twin", json!({}))?["desired"]["after"], true);
    assert!(hub.stop()?.success());
    Ok(())
}

fn a_disabled_device_is_sent_away_and_comes_back(sdk: Sdk) -> Result<()> {
    let Scene { mut hub, mut device, mut service, connection_string } = scene(26, sdk)?;
    device.ask("send", json!({"body": "one", "message_id": "m1"}))?;
    device.ask("listen", json!({"to": ["commands"]}))?;
    hub.device(&["disable", "d1"])?;
    is_connected(&mut service, false)?;
    drop(device);
    let mut again = sdk.start(&hub)?;
    again.ask(
        "create",
        millrace_tests::sdk::merged(sdk.options(&hub), json!({"connection_string": connection_string})),
    )?;
    let refused = again.refused("connect", json!({}))?;
    assert!(refused.contains("nauthorized") || refused.contains("Credential"), "{refused}");
    hub.device(&["enable", "d1"])?;
    let mut back = sdk.connect(&hub, json!({"connection_string": connection_string}))?;
    back.ask("send", json!({"body": "two"}))?;
    assert!(hub.stop()?.success());
    Ok(())
}

/// One test for each SDK and transport, so that they run side by side and fail by name.
macro_rules! with_each_sdk {
    ($($name:ident: $sdk:expr;)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn twin() -> Result<()> {
                twin_goes_both_ways($sdk)
            }

            #[test]
            fn methods() -> Result<()> {
                methods_are_called_and_answered($sdk)
            }

            #[test]
            fn commands() -> Result<()> {
                commands_wait_for_the_device($sdk)
            }

            #[test]
            fn restart() -> Result<()> {
                a_restarted_hub_still_knows_the_subscriptions($sdk)
            }

            #[test]
            fn disabled() -> Result<()> {
                a_disabled_device_is_sent_away_and_comes_back($sdk)
            }
        })*
    };
}

with_each_sdk! {
    python: Sdk::Python;
    python_web_socket: Sdk::PythonWebSocket;
    node: Sdk::Node;
    node_web_socket: Sdk::NodeWebSocket;
}
