//! Much of what is allowed once: polls, calls that nobody answers, answers that nobody reads.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use millrace_protocols_identity::sas;
use millrace_tests::device::{METHOD, filters};
use millrace_tests::rest::{LATER, Rest, answer, connection};
use millrace_tests::scene::{Scene, key};
use serde_json::json;

use crate::bystander::Bystander;

/// Calls that nobody answers. `MILLRACE_HOSTILE_CALLS=10000` is the long run.
fn calls() -> usize {
    std::env::var("MILLRACE_HOSTILE_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(2_000)
}

#[test]
fn ten_thousand_polls_of_a_registration() -> Result<()> {
    let scene = Scene::new("[provisioning]\nenabled = true\nid_scope = \"0ne00C0FFEE\"\n")?;
    let bystander = Bystander::start(&scene)?;
    let owner = Rest::new(&scene.hub, scene.rest.address, "provisioningserviceowner")?;
    let secret = key()?.to_base64().to_string();
    let enrollment = json!({"registrationId": "reg", "attestation": {"type": "symmetricKey",
        "symmetricKey": {"primaryKey": secret, "secondaryKey": secret}}});
    let made = owner.call("PUT", "/enrollments/reg", &enrollment)?;
    ensure!(made.status == 200, "{made:?}");
    let token = sas::sign(&sas::encode("0ne00C0FFEE/registrations/reg"), &key()?, LATER, Some("registration"));
    let poll = format!(
        "GET /0ne00C0FFEE/registrations/reg/operations/4.x.y?api-version=2019-03-31 HTTP/1.1\r\n\
         Host: localhost\r\nAuthorization: {token}\r\n\r\n"
    );
    let polls = 10_000;
    let mut stream = connection(scene.rest.address)?;
    let mut reader = stream.try_clone()?;
    let writer = std::thread::spawn(move || {
        let hundred = poll.repeat(100);
        (0..polls / 100).try_for_each(|_| stream.write_all(hundred.as_bytes()))
    });
    let (mut unread, mut statuses, mut buffer) = (Vec::new(), [0_usize; 5], vec![0; 65_536]);
    while statuses.iter().sum::<usize>() < polls {
        let count = reader.read(&mut buffer)?;
        ensure!(count > 0, "the hub closed after {statuses:?}");
        unread.extend_from_slice(&buffer[..count]);
        let mut at = 0;
        while let Some(status) = unread.get(at..at + 12) {
            // A body ends without a line's end, so the next answer follows in the same line.
            if status.starts_with(b"HTTP/1.1 ") {
                statuses[kind(&status[9..])] += 1;
            }
            at += 1;
        }
        unread.drain(..at);
    }
    let Ok(written) = writer.join() else { bail!("the writer panicked") };
    written?;
    ensure!(statuses[2] > polls * 9 / 10 && statuses[3] == 0 && statuses[4] == 0, "{statuses:?}");
    bystander.finish(scene)
}

/// What a status says: done, not there, later, the hub's fault, something else.
fn kind(status: &[u8]) -> usize {
    match status {
        b"200" | b"202" => 0,
        b"404" => 1,
        b"429" => 2,
        [b'5', ..] => 3,
        _ => 4,
    }
}

#[test]
fn thousands_of_calls_that_nobody_answers() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    let ids = scene.devices(calls().div_ceil(100))?;
    let mut silent = Vec::new();
    for id in &ids {
        let mut device = scene.connect(id)?;
        device.subscribe(&filters(id))?;
        silent.push(device);
    }
    let begun = Instant::now();
    let token = scene.rest.token();
    let body = json!({"methodName": "wait", "payload": 1, "responseTimeoutInSeconds": 5}).to_string();
    let mut callers: Vec<TcpStream> = Vec::new();
    for number in 0..calls() {
        let mut stream = connection(scene.rest.address)?;
        write!(
            stream,
            "POST /twins/{}/methods HTTP/1.0\r\nHost: localhost\r\nAuthorization: {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            ids[number % ids.len()],
            body.len()
        )?;
        callers.push(stream);
    }
    bystander.unharmed()?;
    for mut caller in callers {
        let answer = answer(&mut caller)?;
        ensure!(answer.code() == 504_101, "{answer:?}");
    }
    ensure!(begun.elapsed() > Duration::from_secs(4), "they were not waited for");
    // No call is left that would keep a new one out.
    let Some(device) = silent.first_mut() else { bail!("no device") };
    while device.message_within(METHOD, Duration::from_millis(100))?.is_some() {}
    let rest = scene.rest.clone();
    let caller = std::thread::spawn(move || {
        rest.call("POST", "/twins/device-0/methods", &json!({"methodName": "now", "payload": 2}))
    });
    let call = device.message(METHOD)?;
    device.answer(&call, 200)?;
    let Ok(answer) = caller.join() else { bail!("the caller panicked") };
    ensure!(answer?.json()["payload"] == 2, "the call after the flood failed");
    bystander.finish(scene)
}

/// A device that asks and asks and never reads what it is told.
#[test]
fn a_device_that_never_reads_is_let_go() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    scene.devices(1)?;
    let mut device = scene.connect("device-0")?;
    device.subscribe(&filters("device-0"))?;
    let members: Vec<String> = (0..7).map(|number| format!("\"k{number}\":\"{}\"", "x".repeat(4_000))).collect();
    let answer = device.report(format!("{{{}}}", members.join(",")).as_bytes())?;
    ensure!(answer.status == 204, "{answer:?}");
    let before = resident_bytes(scene.hub.id()?)?;
    device.write_within(Duration::from_secs(2))?;
    // 28 KiB each, 280 MiB in all, if somebody kept them.
    let asked = (0..10_000)
        .take_while(|number| device.publish(&format!("$iothub/twin/GET/?$rid={number}"), b"", false).is_ok())
        .count();
    let grown = resident_bytes(scene.hub.id()?)?.saturating_sub(before);
    ensure!(grown < 64 << 20, "{grown} bytes more for one device that asked {asked} times");
    let patch = |number: usize| json!({"properties": {"desired": {"n": number, "text": "x".repeat(4_000), "more": "x".repeat(4_000)}}});
    for number in 0..20 {
        let answer = scene.rest.call("PATCH", "/twins/device-0", &patch(number))?;
        ensure!(answer.status == 200, "{answer:?}");
    }
    bystander.unharmed()?;
    drop(device);
    bystander.finish(scene)
}

fn resident_bytes(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes << 10)
}
