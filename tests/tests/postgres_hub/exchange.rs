//! What goes on between a service and a device, each thing once.

use std::thread::ScopedJoinHandle;

use anyhow::{Result, bail, ensure};
use millrace_tests::device::{DESIRED, Device, METHOD};
use millrace_tests::rest::Rest;
use serde_json::{Value, json};

/// Reported properties, a desired change, a command and a method call.
pub(crate) fn everything(service: &Rest, device: &mut Device, id: &str, number: u64) -> Result<()> {
    // Also says that the session is open before the service looks for it.
    let report = device.report(json!({"number": number}).to_string().as_bytes())?;
    ensure!(report.status == 204, "{report:?}");
    desired(service, device, id, &json!({"number": number}))?;
    command(service, device, id, &number.to_string())?;
    method(service, device, id, number)
}

/// A desired change that reaches the device.
pub(crate) fn desired(service: &Rest, device: &mut Device, id: &str, patch: &Value) -> Result<()> {
    let body = json!({"properties": {"desired": patch}});
    let answer = service.call("PATCH", &format!("/twins/{id}"), &body)?;
    ensure!(answer.status == 200, "{answer:?}");
    let mut expected = patch.clone();
    expected["$version"] = answer.json()["properties"]["desired"]["$version"].clone();
    let heard: Value = serde_json::from_slice(&device.message(DESIRED)?.body)?;
    ensure!(heard == expected, "{heard} for {expected}");
    Ok(())
}

/// A command that reaches the device.
pub(crate) fn command(service: &Rest, device: &mut Device, id: &str, text: &str) -> Result<()> {
    send(service, id, text)?;
    receive(device, text)
}

/// Puts a command into the device's queue.
pub(crate) fn send(service: &Rest, id: &str, text: &str) -> Result<()> {
    let sent = service.call_with("POST", &format!("/devices/{id}/messages/devicebound"), &[], text.as_bytes())?;
    ensure!(sent.status == 204, "{sent:?}");
    Ok(())
}

/// The next command of the device is this one.
pub(crate) fn receive(device: &mut Device, text: &str) -> Result<()> {
    let command = device.message("devices/")?;
    ensure!(command.body == text.as_bytes(), "{command:?} for {text}");
    device.acknowledge(&command)
}

/// What a thread has come to.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| bail!("a thread panicked"))
}

/// A method call that the device answers.
pub(crate) fn method(service: &Rest, device: &mut Device, id: &str, number: u64) -> Result<()> {
    let answer = std::thread::scope(|scope| {
        let call = json!({"methodName": "echo", "payload": {"number": number}, "responseTimeoutInSeconds": 30});
        let caller = scope.spawn(move || service.call("POST", &format!("/twins/{id}/methods"), &call));
        let method = device.message(METHOD)?;
        device.answer(&method, 207)?;
        joined(caller)
    })?;
    let json = answer.json();
    ensure!(json["status"] == 207 && json["payload"]["number"] == number, "{answer:?}");
    Ok(())
}
