//! Registrations at the provisioning service over crashes: an operation that was answered for goes on, an assignment stays.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::hmac;
use millrace_protocols_identity::{Key, sas};
use millrace_tests::device::{Device, filters};
use millrace_tests::hub::PATIENCE;
use millrace_tests::rest::{Answer, LATER, Rest, request};
use millrace_tests::scene::{Scene, key};
use serde_json::{Value, json};

use crate::course::{Course, storm};

const SCOPE: &str = "0ne00C0FFEE";
const CONFIGURATION: &str = "[provisioning]\nenabled = true\nid_scope = \"0ne00C0FFEE\"\nretry_after_seconds = 1\n\
    registrations_per_minute = 1000000\npolls_per_ten_seconds = 1000\n";

#[test]
fn registrations_that_were_answered_for_survive() -> Result<()> {
    let mut scene = Scene::new(CONFIGURATION)?;
    let owner = Rest::new(&scene.hub, scene.rest.address, "provisioningserviceowner")?;
    let secret = key()?.to_base64().to_string();
    let group = json!({"enrollmentGroupId": "g", "provisioningStatus": "enabled",
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": secret, "secondaryKey": secret}},
        "initialTwin": {"properties": {"desired": {"mode": "slow"}}}});
    let answer = owner.call("PUT", "/enrollmentGroups/g", &group)?;
    ensure!(answer.status == 200, "{answer:?}");
    let (beginning, course) = (Course::default(), Course::default());
    let (next, assigned) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let register_all = || {
        while beginning.goes_on() && course.goes_on() {
            let id = format!("reg-{}", next.fetch_add(1, Ordering::Relaxed));
            if let Some(device) = register(&course, &owner, &id)? {
                assigned.lock().unwrap().push((id, device));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6).map(|_| scope.spawn(|| course.work(register_all))).collect();
        let storm = storm(&mut scene, &course);
        // What has begun goes on to its end, also what a hub that is gone had begun: its lease has to run out first.
        beginning.end();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap())?;
        storm
    })?;
    let assigned = assigned.into_inner()?;
    ensure!(assigned.len() > 5, "only {} were assigned", assigned.len());
    for (id, device) in &assigned {
        let state = ask(&owner, "POST", id, "", "")?.json();
        ensure!(state["status"] == "assigned" && state["deviceId"] == device.as_str(), "{id}: {state}");
    }
    for (id, device) in assigned.iter().step_by(assigned.len().div_ceil(10)) {
        let (mut device, _) = Device::connect(scene.hub.mqtt, device, &derived(id)?)?;
        device.subscribe(&filters(id)[..1])?;
        let twin = device.twin()?;
        ensure!(twin.body["desired"]["mode"] == "slow", "{id}: {twin:?}");
    }
    ensure!(scene.hub.stop()?.success(), "{}", scene.hub.log());
    Ok(())
}

/// Registers one device and polls until it is assigned; answers its device id, or `None` when the course ended before.
fn register(course: &Course, owner: &Rest, id: &str) -> Result<Option<String>> {
    let mut operation = None;
    let deadline = Instant::now() + 3 * PATIENCE;
    while course.goes_on() {
        ensure!(Instant::now() < deadline, "{id}: {operation:?} does not end");
        let body = json!({"registrationId": id}).to_string();
        let answer = match &operation {
            None => ask(owner, "PUT", id, "/register", &body),
            Some(operation) => ask(owner, "GET", id, &format!("/operations/{operation}"), ""),
        };
        let Ok(answer) = answer else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let state: Value = answer.json();
        match (answer.status, state["status"].as_str()) {
            (200 | 202, Some("assigning")) => {
                operation = Some(state["operationId"].as_str().context("no operation")?.to_owned());
                course.note();
                std::thread::sleep(Duration::from_millis(20));
            }
            (200, Some("assigned")) => {
                course.note();
                let device = state["registrationState"]["deviceId"].as_str().context("no device")?;
                return Ok(Some(device.to_owned()));
            }
            (429 | 503, _) => std::thread::sleep(Duration::from_millis(100)),
            _ => bail!("{id}: {operation:?}: {answer:?}"),
        }
    }
    Ok(None)
}

fn ask(owner: &Rest, method: &str, id: &str, what: &str, body: &str) -> Result<Answer> {
    let resource = sas::encode(&format!("{SCOPE}/registrations/{id}"));
    let token = sas::sign(&resource, &derived(id)?, LATER, Some("registration"));
    let path = format!("/{SCOPE}/registrations/{id}{what}?api-version=2019-03-31");
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    request(owner.address, method, &path, &headers, body.as_bytes())
}

/// The key that a device of the group has.
fn derived(id: &str) -> Result<Key> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key()?.as_bytes()), id.as_bytes());
    Ok(Key::from_bytes(tag.as_ref())?)
}
