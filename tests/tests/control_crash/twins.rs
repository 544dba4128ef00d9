//! Reported and desired properties over crashes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use millrace_tests::device::{DESIRED, Device, filters};
use millrace_tests::rest::Rest;
use millrace_tests::scene::{Scene, key};
use serde_json::{Value, json};

use crate::course::{Course, storm};

/// What one side was told of one section of a twin.
#[derive(Default)]
struct Told {
    sent: u64,
    acknowledged: u64,
    version: u64,
}

impl Told {
    /// A patch was acknowledged.
    fn take(&mut self, version: Option<u64>) -> Result<()> {
        let version = version.unwrap_or_default();
        ensure!(version > self.version, "version {version} after {}", self.version);
        (self.acknowledged, self.version) = (self.sent, version);
        Ok(())
    }

    /// The section was read: what was acknowledged is in it, and nothing that was never sent.
    fn compare(&mut self, section: &Value) -> Result<()> {
        let counter = section["counter"].as_u64().unwrap_or_default();
        let version = section["$version"].as_u64().unwrap_or_default();
        ensure!((self.acknowledged..=self.sent).contains(&counter), "{counter}, acknowledged {}", self.acknowledged);
        ensure!(version >= self.version, "version {version} after {}", self.version);
        self.version = version;
        Ok(())
    }
}

#[test]
fn acknowledged_properties_survive_and_versions_never_go_back() -> Result<()> {
    let mut scene = Scene::new("")?;
    let ids = scene.devices(12)?;
    let (course, mqtt, rest) = (Course::default(), scene.hub.mqtt, scene.rest.clone());
    std::thread::scope(|scope| {
        let reporters: Vec<_> =
            ids.iter().map(|id| scope.spawn(|| course.work(|| report(&course, mqtt, id)))).collect();
        let desired = scope.spawn(|| course.work(|| desire(&course, &rest, &ids)));
        let storm = storm(&mut scene, &course);
        course.end();
        let reported: Result<Vec<Told>> = reporters.into_iter().map(|reporter| reporter.join().unwrap()).collect();
        let desired = desired.join().unwrap()?;
        storm?;
        for ((id, mut reported), mut desired) in ids.iter().zip(reported?).zip(desired) {
            let (mut device, _) = Device::connect(mqtt, id, &key()?)?;
            let twin = device.twin()?;
            reported.compare(&twin.body["reported"])?;
            desired.compare(&twin.body["desired"])?;
            ensure!(reported.acknowledged > 0 && desired.acknowledged > 0, "{id} had no part in it");
        }
        Ok(())
    })?;
    ensure!(scene.hub.stop()?.success(), "{}", scene.hub.log());
    Ok(())
}

/// Patches the reported properties of a device again and again, and looks at what it is told of its desired ones.
fn report(course: &Course, mqtt: SocketAddr, id: &str) -> Result<Told> {
    let (mut told, mut desired_version, mut is_subscribed) = (Told::default(), 0, false);
    while let Some((mut device, is_present)) = course.connect(mqtt, id)? {
        ensure!(is_present || !is_subscribed, "{id}: a session was forgotten");
        // What ends the connection is the crash; what the hub says is what is looked at.
        if !is_subscribed && device.subscribe(&filters(id)).is_err() {
            continue;
        }
        is_subscribed = true;
        let Ok(twin) = device.twin() else { continue };
        ensure!(twin.status == 200, "{id}: {twin:?}");
        told.compare(&twin.body["reported"])?;
        while course.goes_on() {
            told.sent += 1;
            let Ok(answer) = device.report(json!({"counter": told.sent}).to_string().as_bytes()) else { break };
            ensure!(answer.status == 204, "{id}: {answer:?}");
            told.take(answer.version)?;
            course.note();
            while let Ok(Some(message)) = device.message_within(DESIRED, Duration::ZERO) {
                let body: Value = serde_json::from_slice(&message.body)?;
                let version = body["$version"].as_u64().unwrap_or_default();
                ensure!(version > desired_version, "{id}: desired {version} after {desired_version}");
                desired_version = version;
            }
        }
    }
    Ok(told)
}

/// Patches the desired properties of all devices in turn.
fn desire(course: &Course, rest: &Rest, ids: &[String]) -> Result<Vec<Told>> {
    let mut all: Vec<Told> = ids.iter().map(|_| Told::default()).collect();
    while course.goes_on() {
        for (id, told) in ids.iter().zip(&mut all) {
            told.sent += 1;
            let patch = json!({"properties": {"desired": {"counter": told.sent}}});
            let Ok(answer) = rest.call("PATCH", &format!("/twins/{id}"), &patch) else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            ensure!(answer.status == 200, "{id}: {answer:?}");
            told.take(answer.json()["properties"]["desired"]["$version"].as_u64())?;
            course.note();
        }
    }
    Ok(all)
}
