//! Cloud-to-device messages over crashes: each one that was accepted is delivered and completed, and completed once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use millrace_tests::device::filters;
use millrace_tests::hub::PATIENCE;
use millrace_tests::rest::Rest;
use millrace_tests::scene::Scene;

use crate::course::{Course, storm};

const CONFIGURATION: &str =
    "[commands]\nlock_seconds = 5\nfeedback_lock_seconds = 5\nfeedback_delivery_count_max = 100\n";

/// What the service has of feedback.
#[derive(Default)]
struct Feedback {
    /// Message id -> how many records of it came in batches that were completed with a 204. Such a batch does not come again.
    completed: BTreeMap<String, usize>,
    /// Those of any batch.
    seen: BTreeSet<String>,
}

#[test]
fn accepted_commands_are_completed_once() -> Result<()> {
    let mut scene = Scene::new(CONFIGURATION)?;
    let ids = scene.devices(8)?;
    let (sending, receiving) = (Course::default(), Course::default());
    let (mqtt, rest, feedback) = (scene.hub.mqtt, scene.rest.clone(), Mutex::new(Feedback::default()));
    std::thread::scope(|scope| {
        let takers: Vec<_> =
            ids.iter().map(|id| scope.spawn(|| receiving.work(|| take(&receiving, mqtt, id)))).collect();
        let senders: Vec<_> = ids.iter().map(|id| scope.spawn(|| sending.work(|| send(&sending, &rest, id)))).collect();
        let reader = scope.spawn(|| receiving.work(|| read_feedback(&receiving, &rest, &feedback)));
        let storm = storm(&mut scene, &sending);
        sending.end();
        let accepted: Result<Vec<_>> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        let waited = accepted.and_then(|accepted| {
            let accepted: BTreeSet<String> = accepted.into_iter().flatten().collect();
            await_feedback(&receiving, &accepted, &feedback)
        });
        receiving.end();
        takers.into_iter().try_for_each(|taker| taker.join().unwrap())?;
        reader.join().unwrap()?;
        storm?;
        waited
    })?;
    let feedback = feedback.into_inner().unwrap();
    let twice: Vec<_> = feedback.completed.iter().filter(|(_, count)| **count > 1).collect();
    ensure!(twice.is_empty(), "completed twice: {twice:?}");
    ensure!(scene.hub.stop()?.success(), "{}", scene.hub.log());
    Ok(())
}

/// Waits until all that was accepted was also reported on.
fn await_feedback(course: &Course, accepted: &BTreeSet<String>, feedback: &Mutex<Feedback>) -> Result<()> {
    ensure!(accepted.len() > 50, "only {} commands", accepted.len());
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let missing: Vec<String> = {
            let feedback = feedback.lock().unwrap_or_else(PoisonError::into_inner);
            accepted.iter().filter(|id| !feedback.seen.contains(*id)).cloned().collect()
        };
        if missing.is_empty() || !course.goes_on() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{} of {} were lost: {missing:?}", missing.len(), accepted.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sends to one device; answers what was accepted.
fn send(course: &Course, rest: &Rest, id: &str) -> Result<Vec<String>> {
    let mut accepted = Vec::new();
    let mut number = 0_u64;
    while course.goes_on() {
        number += 1;
        let message_id = format!("{id}:{number}");
        let headers = [("iothub-messageid", message_id.as_str()), ("iothub-ack", "full")];
        let path = format!("/devices/{id}/messages/devicebound");
        match rest.call_with("POST", &path, &headers, number.to_string().as_bytes()) {
            Ok(answer) if answer.status == 204 => {
                accepted.push(message_id);
                course.note();
            }
            // The queue is full: the device is not as fast as its sender.
            Ok(answer) if answer.code() == 403_004 => std::thread::sleep(Duration::from_millis(10)),
            Ok(answer) => bail!("{id}: {answer:?}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    Ok(accepted)
}

/// Takes commands; each comes the first time in the order of sending.
fn take(course: &Course, mqtt: SocketAddr, id: &str) -> Result<()> {
    let (mut latest, mut is_subscribed, mut taken) = (0_u64, false, BTreeSet::new());
    while let Some((mut device, is_present)) = course.connect(mqtt, id)? {
        ensure!(is_present || !is_subscribed, "{id}: a session was forgotten");
        if !is_subscribed && device.subscribe(&filters(id)).is_err() {
            continue;
        }
        is_subscribed = true;
        while course.goes_on() {
            let command = match device.message_within("devices/", Duration::from_millis(100)) {
                Ok(Some(command)) => command,
                Ok(None) => continue,
                Err(_) => break,
            };
            let number: u64 = std::str::from_utf8(&command.body)?.parse()?;
            ensure!(number > latest || taken.contains(&number), "{id}: {number} for the first time after {latest}");
            latest = latest.max(number);
            taken.insert(number);
            if device.acknowledge(&command).is_err() {
                break;
            }
        }
    }
    Ok(())
}

fn read_feedback(course: &Course, rest: &Rest, feedback: &Mutex<Feedback>) -> Result<()> {
    while course.goes_on() {
        let Ok(answer) = rest.call_with("GET", "/messages/serviceBound/feedback", &[], b"") else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        match answer.status {
            200 => {}
            204 => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            _ => bail!("feedback: {answer:?}"),
        }
        let records = answer.json();
        let lock = answer.header("etag").unwrap_or_default().trim_matches('"').to_owned();
        let done = rest.call_with("DELETE", &format!("/messages/serviceBound/feedback/{lock}"), &[], b"");
        let is_completed = done.is_ok_and(|done| done.status == 204);
        let mut feedback = feedback.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records.as_array().into_iter().flatten() {
            ensure!(record["statusCode"] == "Success", "{record}");
            let id = record["originalMessageId"].as_str().unwrap_or_default();
            feedback.seen.insert(id.to_owned());
            if is_completed {
                *feedback.completed.entry(id.to_owned()).or_default() += 1;
            }
        }
    }
    Ok(())
}
