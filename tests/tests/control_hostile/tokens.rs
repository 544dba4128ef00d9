//! Tokens that are old, of others, for others, or for less than they are used for.

use anyhow::{Result, ensure};
use millrace_protocols_identity::{Key, sas};
use millrace_tests::device::{Device, token, user_name};
use millrace_tests::rest::{LATER, Rest, device, request};
use millrace_tests::scene::{Scene, key};
use serde_json::json;

use crate::bystander::{Bystander, refused};

/// Long ago, beyond all skew.
const EARLIER: u64 = 1_600_000_000;

#[test]
fn a_token_opens_what_it_names_and_no_more() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    let own = key()?;
    let other = Key::from_bytes(&[b'o'; 32])?;
    for (id, key) in [("dev", &own), ("dev2", &other)] {
        scene.rest.create(id, key)?;
    }
    let signed = |resource: &str, key: &Key| sas::sign(&sas::encode(resource), key, LATER, None);
    let bad = [
        ("expired", sas::sign(&sas::encode("localhost/devices/dev"), &own, EARLIER, None)),
        ("of another key", signed("localhost/devices/dev", &other)),
        ("of another device", token("dev2", &other)),
        ("for another device", signed("localhost/devices/dev2", &own)),
        ("for the beginning of its name", signed("localhost/devices/de", &own)),
        ("for a module", signed("localhost/devices/dev/modules/m", &own)),
        ("for another hub", signed("elsewhere/devices/dev", &own)),
        ("of a policy that is not there", sas::sign("localhost", &own, LATER, Some("nobody"))),
        ("of a policy with the device's key", sas::sign("localhost", &own, LATER, Some("iothubowner"))),
        ("without a signature", "SharedAccessSignature sr=localhost%2Fdevices%2Fdev&se=4000000000".to_owned()),
        (
            "with an endless expiry",
            "SharedAccessSignature sr=localhost&sig=AA%3D%3D&se=99999999999999999999".to_owned(),
        ),
        ("empty", String::new()),
        ("no token", "Basic YTpi".to_owned()),
        ("huge", format!("SharedAccessSignature sr={}", "x".repeat(20_000))),
    ];
    for (what, token) in &bad {
        let mut stranger = Device::dial(scene.hub.mqtt)?;
        match stranger.introduce("dev", &user_name("dev"), token, false) {
            Ok((_, code)) => ensure!([4, 5].contains(&code), "{what}: CONNACK {code}"),
            // A CONNECT has at most 16 KiB.
            Err(error) => ensure!(*what == "huge", "{what}: {error}"),
        }
        let headers = [("Authorization", token.as_str())];
        for (method, path) in [("POST", "/devices/dev/messages/events"), ("GET", "/devices/dev/messages/devicebound")] {
            refused(what, &request(scene.rest.address, method, path, &headers, b"{}")?, &[401])?;
        }
        refused(what, &request(scene.rest.address, "GET", "/devices/dev", &headers, b"")?, &[401])?;
    }
    bystander.unharmed()?;
    // A device's own key, for the whole hub: it opens this device and nothing else.
    let broad = signed("localhost", &own);
    let mut stranger = Device::dial(scene.hub.mqtt)?;
    let (_, code) = stranger.introduce("dev2", &user_name("dev2"), &broad, false)?;
    ensure!([4, 5].contains(&code), "CONNACK {code} for another's device");
    let headers = [("Authorization", broad.as_str())];
    refused("broad", &request(scene.rest.address, "GET", "/devices/dev2", &headers, b"")?, &[401])?;
    bystander.finish(scene)
}

#[test]
fn a_policy_opens_what_it_names_and_no_more() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    scene.devices(1)?;
    let body = device("new", &key()?);
    let operations = [
        ("registryReadWrite", "PUT", "/devices/new", &body),
        ("registryReadWrite", "DELETE", "/devices/device-0", &json!({})),
        ("registryReadWrite", "POST", "/devices", &json!([])),
        ("service", "PATCH", "/twins/device-0", &json!({"tags": {"a": 1}})),
        ("service", "GET", "/twins/device-0", &json!({})),
        ("service", "POST", "/twins/device-0/methods", &json!({"methodName": "m"})),
        ("service", "POST", "/devices/query", &json!({"query": "SELECT * FROM devices"})),
        ("service", "POST", "/devices/device-0/messages/devicebound", &json!({})),
        ("service", "DELETE", "/devices/device-0/commands", &json!({})),
        ("service", "GET", "/messages/serviceBound/feedback", &json!({})),
    ];
    for policy in ["device", "registryRead", "service", "registryReadWrite"] {
        let caller = Rest::new(&scene.hub, scene.rest.address, policy)?;
        for (wanted, method, path, body) in operations.iter().filter(|(wanted, ..)| *wanted != policy) {
            let what = format!("{policy}: {method} {path} needs {wanted}");
            refused(&what, &caller.call(method, path, body)?, &[401])?;
        }
        for resource in ["localhost/devices/device-0x", "localhosts", "localhost/twins", "local"] {
            let token = sas::sign(&sas::encode(resource), &caller.key, LATER, Some(policy));
            let headers = [("Authorization", token.as_str())];
            let answer = request(caller.address, "GET", "/devices/device-0", &headers, b"")?;
            refused(&format!("{policy} for {resource}"), &answer, &[401])?;
        }
        let token = sas::sign("localhost", &caller.key, EARLIER, Some(policy));
        let headers = [("Authorization", token.as_str())];
        refused(policy, &request(caller.address, "GET", "/devices/device-0", &headers, b"")?, &[401])?;
    }
    bystander.finish(scene)
}
