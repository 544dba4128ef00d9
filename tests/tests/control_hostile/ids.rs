//! Every character that an id may have, and those that it may not, in every place where an id stands.

use anyhow::{Result, ensure};
use millrace_protocols_identity::sas;
use millrace_tests::device::{DESIRED, Device, METHOD, filters, token, user_name};
use millrace_tests::rest::{device, request};
use millrace_tests::scene::{Scene, key};
use serde_json::json;

use crate::bystander::{Bystander, refused};

/// Ids that mean something elsewhere: in paths, topics, queries, user names, files, percent-encoding.
const ODD: [&str; 14] =
    ["..", ".", "%2e%2e", "a%2Fb", "#", "+", "?x=1", "$iothub", "registrations", "a;b=c", "'--", "null", "a:b@c", "*"];

#[test]
fn every_legal_id_works_everywhere() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    let each = "-.+%_#*?!(),=@$':;".chars().map(|character| format!("a{character}b"));
    let longest = "x".repeat(128);
    for id in each.chain(ODD.map(str::to_owned)).chain([longest]) {
        live(&scene, &id).map_err(|error| error.context(id))?;
    }
    bystander.finish(scene)
}

/// A device's whole life under that id.
fn live(scene: &Scene, id: &str) -> Result<()> {
    let (rest, encoded) = (&scene.rest, sas::encode(id));
    rest.create(id, &key()?)?;
    let read = rest.call_with("GET", &format!("/devices/{encoded}"), &[], b"")?;
    ensure!(read.json()["deviceId"] == id, "{read:?}");
    let mut connected = scene.connect(id)?;
    let granted = connected.subscribe(&filters_of(id))?;
    ensure!(granted.iter().all(|&granted| granted == 1), "{granted:?}");
    // A topic that is published to has no wildcards, and a filter has them only at its end: such a device sends and takes by HTTPS.
    let has_topics = !id.contains(['#', '+']);
    if has_topics {
        connected.telemetry(b"{}")?;
    }
    let reported = connected.report(b"{\"a\":1}")?;
    ensure!(reported.status == 204, "{reported:?}");
    let twin = rest.call("PATCH", &format!("/twins/{encoded}"), &json!({"properties": {"desired": {"b": 2}}}))?;
    ensure!(twin.status == 200 && twin.json()["properties"]["reported"]["a"] == 1, "{twin:?}");
    connected.message(DESIRED)?;
    if !has_topics {
        return take_by_https(scene, id);
    }
    let sent = rest.call_with("POST", &format!("/devices/{encoded}/messages/devicebound"), &[], b"x")?;
    ensure!(sent.status == 204, "{sent:?}");
    let command = connected.message("devices/")?;
    ensure!(command.topic.starts_with(&format!("devices/{id}/messages/devicebound/")), "{command:?}");
    connected.acknowledge(&command)?;
    take_by_https(scene, id)
}

/// The filters that MQTT allows for that id.
fn filters_of(id: &str) -> Vec<String> {
    let all = filters(id).into_iter();
    all.filter(|filter| !filter.starts_with("devices/") || !id.contains(['#', '+'])).collect()
}

fn take_by_https(scene: &Scene, id: &str) -> Result<()> {
    let (rest, encoded) = (&scene.rest, sas::encode(id));
    let token = token(id, &key()?);
    let own = [("Authorization", token.as_str())];
    let path = format!("/devices/{encoded}/messages/events?api-version=2021-04-12");
    let sent = request(rest.address, "POST", &path, &own, b"{}")?;
    ensure!(sent.status == 204, "{sent:?}");
    // Ends the session, so that commands wait for HTTPS.
    let deleted = rest.call_with("DELETE", &format!("/devices/{encoded}"), &[("If-Match", "*")], b"")?;
    ensure!(deleted.status == 204, "{deleted:?}");
    rest.create(id, &key()?)?;
    let path = format!("/devices/{encoded}/messages/devicebound");
    let sent = rest.call_with("POST", &path, &[("iothub-messageid", id)], b"y")?;
    ensure!(sent.status == 204, "{sent:?}");
    let taken = request(rest.address, "GET", &path, &own, b"")?;
    ensure!(taken.status == 200 && taken.header("iothub-messageid") == Some(id), "{taken:?}");
    let lock = taken.header("etag").unwrap_or_default().trim_matches('"').to_owned();
    let done = request(rest.address, "DELETE", &format!("{path}/{lock}"), &own, b"")?;
    ensure!(done.status == 204, "{done:?}");
    Ok(())
}

#[test]
fn illegal_ids_are_refused_everywhere() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    let each = " /\\\"<>|&{}^~`[]\u{7f}\u{1}\u{0}é\u{feff}💥".chars().map(|character| format!("a{character}b"));
    for id in each.chain(["x".repeat(129), "x".repeat(10_000)]) {
        let path = format!("/devices/{}", sas::encode(&id));
        refused(&id, &scene.rest.call("PUT", &path, &device(&id, &key()?))?, &[400])?;
        for path in [path, format!("/twins/{}", sas::encode(&id))] {
            refused(&id, &scene.rest.call_with("GET", &path, &[], b"")?, &[400, 404])?;
        }
        let mut stranger = Device::dial(scene.hub.mqtt)?;
        // Closing without a word is an answer too: an id may be no MQTT text.
        if let Ok((_, code)) = stranger.introduce(&id, &user_name(&id), &token(&id, &key()?), false) {
            ensure!([1, 2, 4, 5].contains(&code), "{id:?}: CONNACK {code}");
        }
    }
    for raw in ["/devices/%ff", "/devices/%C3%28", "/twins/%ff/methods", "/devices/%00", "/devices/a%2Fb/modules/c%2Fd"]
    {
        let answer = scene.rest.call_with("GET", raw, &[], b"")?;
        // What cannot be read is covered by no token.
        refused(raw, &answer, &[400, 401, 404, 405])?;
    }
    bystander.finish(scene)
}

#[test]
fn names_of_methods_and_modules_are_bounded() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    let mut device = {
        scene.devices(1)?;
        scene.connect("device-0")?
    };
    device.subscribe(&filters("device-0"))?;
    for name in ["a/b", "a b", "é", "a?b", "", "a\u{0}b", "#\n", &"x".repeat(5_000)] {
        let call = json!({"methodName": name, "payload": null});
        refused(name, &scene.rest.call("POST", "/twins/device-0/methods", &call)?, &[400])?;
    }
    ensure!(device.message_within(METHOD, std::time::Duration::ZERO)?.is_none(), "a refused call was delivered");
    for module in ["$edgeHub", "$edgeAgent", "a%b"] {
        let path = format!("/devices/device-0/modules/{}", sas::encode(module));
        let made = scene.rest.call("PUT", &path, &json!({"deviceId": "device-0", "moduleId": module}))?;
        ensure!(made.status == 200, "{module}: {made:?}");
        let twin = format!("/twins/device-0/modules/{}", sas::encode(module));
        let twin = scene.rest.call_with("GET", &twin, &[], b"")?;
        ensure!(twin.json()["moduleId"] == module, "{twin:?}");
    }
    bystander.finish(scene)
}
