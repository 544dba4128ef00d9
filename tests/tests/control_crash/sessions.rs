//! Subscriptions over crashes: a device that does not subscribe again hears all that it heard before.

use anyhow::{Result, bail, ensure};
use millrace_tests::device::{DESIRED, Device, METHOD, filters};
use millrace_tests::scene::{Scene, key};
use serde_json::{Value, json};

use crate::course::rounds;

#[test]
fn a_device_that_does_not_subscribe_again_hears_everything() -> Result<()> {
    let mut scene = Scene::new("")?;
    let ids = scene.devices(3)?;
    for id in &ids {
        let (mut device, is_present) = Device::connect(scene.hub.mqtt, id, &key()?)?;
        ensure!(!is_present, "{id}: there was no session yet");
        let granted = device.subscribe(&filters(id))?;
        ensure!(granted == [1; 4], "{granted:?}");
    }
    for round in 0..rounds() {
        scene.hub.kill()?;
        scene.hub.start_again()?;
        for id in &ids {
            let (mut device, is_present) = Device::connect(scene.hub.mqtt, id, &key()?)?;
            ensure!(is_present, "{id}: a session was forgotten in round {round}");
            hears_all(&scene, &mut device, id, round)?;
        }
    }
    ensure!(scene.hub.stop()?.success(), "{}", scene.hub.log());
    Ok(())
}

fn hears_all(scene: &Scene, device: &mut Device, id: &str, round: u64) -> Result<()> {
    // Also says that the session is open before the service looks for it.
    let twin = device.twin()?;
    ensure!(twin.status == 200, "{twin:?}");
    let patch = json!({"properties": {"desired": {"round": round}}});
    let answer = scene.rest.call("PATCH", &format!("/twins/{id}"), &patch)?;
    ensure!(answer.status == 200, "{answer:?}");
    let desired: Value = serde_json::from_slice(&device.message(DESIRED)?.body)?;
    ensure!(desired["round"] == round, "{desired}");
    let path = format!("/devices/{id}/messages/devicebound");
    let sent = scene.rest.call_with("POST", &path, &[], round.to_string().as_bytes())?;
    ensure!(sent.status == 204, "{sent:?}");
    let command = device.message("devices/")?;
    ensure!(command.body == round.to_string().as_bytes(), "{command:?}");
    device.acknowledge(&command)?;
    let answer = std::thread::scope(|scope| {
        let call = json!({"methodName": "echo", "payload": {"round": round}, "responseTimeoutInSeconds": 30});
        let caller = scope.spawn(move || scene.rest.call("POST", &format!("/twins/{id}/methods"), &call));
        let method = device.message(METHOD)?;
        device.answer(&method, 207)?;
        let answer = caller.join();
        answer.unwrap_or_else(|_| bail!("the caller panicked"))
    })?;
    let json = answer.json();
    ensure!(json["status"] == 207 && json["payload"]["round"] == round, "{answer:?}");
    Ok(())
}
