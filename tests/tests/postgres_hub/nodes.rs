//! Two hubs on one database: a device may come to either, and hears what is said at the other.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use millrace_tests::device::{DESIRED, Device, filters};
use millrace_tests::postgres::Postgres;
use millrace_tests::scene::{Scene, key};
use serde_json::{Value, json};

use crate::exchange::{command, desired, everything, receive, send};

const ID: &str = "device";

/// How soon a node ends the session of a device that was disabled at the other one.
const DISABLED_WITHIN: Duration = Duration::from_secs(3);

#[test]
fn a_device_is_at_home_at_either_node() -> Result<()> {
    let postgres = Postgres::start()?;
    let (mut here, mut there) = (Scene::new(&postgres.configuration())?, Scene::new(&postgres.configuration())?);
    here.rest.create(ID, &key()?)?;
    // There at once, although that node has not heard of it.
    let (mut device, is_present) = Device::connect(there.hub.mqtt, ID, &key()?)?;
    ensure!(!is_present && device.subscribe(&filters(ID))? == [1; 4]);
    everything(&there.rest, &mut device, ID, 1)?;
    device.abort();
    moves(&here, &there)?;
    hears_the_other_node(&here, &there, &postgres)?;
    loses_its_session(&here, &there)?;
    ensure!(here.hub.stop()?.success() && there.hub.stop()?.success(), "{}{}", here.hub.log(), there.hub.log());
    Ok(())
}

/// Commands that either node took while it was away, and everything else, without subscribing again.
fn moves(here: &Scene, there: &Scene) -> Result<()> {
    there.hub.wait("the end of the session", |_| {
        let answer = there.rest.call("GET", &format!("/devices/{ID}"), &json!(null))?;
        Ok(answer.json()["connectionState"] == "Disconnected")
    })?;
    send(&there.rest, ID, "waited there")?;
    send(&here.rest, ID, "waited here")?;
    let (mut device, is_present) = Device::connect(here.hub.mqtt, ID, &key()?)?;
    ensure!(is_present, "the other node's session is not known");
    receive(&mut device, "waited there")?;
    receive(&mut device, "waited here")?;
    everything(&here.rest, &mut device, ID, 2)?;
    device.abort();
    Ok(())
}

/// What is done at one node reaches the session at the other, also after the database was away.
fn hears_the_other_node(here: &Scene, there: &Scene, postgres: &Postgres) -> Result<()> {
    let (mut device, _) = Device::connect(there.hub.mqtt, ID, &key()?)?;
    ensure!(device.twin()?.status == 200);
    desired(&here.rest, &mut device, ID, &json!({"a": {"b": 1, "c": [1, {}]}, "number": null}))?;
    command(&here.rest, &mut device, ID, "from the other node")?;
    alternate(here, there, &mut device)?;
    postgres.restart()?;
    for scene in [here, there] {
        scene.hub.wait("readiness", |hub| Ok(hub.get("/readyz")?.0 == 200))?;
    }
    // Heard, or found when the node listens again.
    command(&here.rest, &mut device, ID, "after an outage")?;
    there.hub.wait("notes", |hub| Ok(hub.log().contains("other nodes are heard again")))?;
    desired(&here.rest, &mut device, ID, &json!({"a": null}))?;
    device.abort();
    Ok(())
}

/// Changes from both nodes, quickly: a device that takes over what it is told ends with what the twin has, and no version goes back.
fn alternate(here: &Scene, there: &Scene, device: &mut Device) -> Result<()> {
    for number in 0..20 {
        let service = if number % 2 == 0 { &here.rest } else { &there.rest };
        let patch = json!({"properties": {"desired": {"last": number, format!("p{}", number % 3): number}}});
        let answer = service.call("PATCH", &format!("/twins/{ID}"), &patch)?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    let (mut told, mut version) = (json!({}), 0);
    while !(told["last"] == 19 && told["p0"] == 18 && told["p1"] == 19 && told["p2"] == 17) {
        let Value::Object(patch) = serde_json::from_slice(&device.message(DESIRED)?.body)? else {
            anyhow::bail!("no object")
        };
        let next = patch["$version"].as_u64().unwrap_or_default();
        ensure!(next >= version, "version {next} after {version}");
        version = next;
        patch.into_iter().for_each(|(name, value)| told[name] = value);
    }
    // What comes late brings nothing else.
    ensure!(device.twin()?.body["desired"]["$version"] == version, "{version}");
    while let Some(late) = device.message_within(DESIRED, Duration::from_millis(100))? {
        let late: Value = serde_json::from_slice(&late.body)?;
        ensure!(late["$version"] == version && late["last"] == 19, "{late}");
    }
    Ok(())
}

fn loses_its_session(here: &Scene, there: &Scene) -> Result<()> {
    let (mut device, _) = Device::connect(there.hub.mqtt, ID, &key()?)?;
    ensure!(device.twin()?.status == 200);
    let begun = Instant::now();
    here.hub.device(&["disable", ID])?;
    device.closed()?;
    ensure!(begun.elapsed() < DISABLED_WITHIN, "the session ended after {:?}", begun.elapsed());
    Ok(())
}
