//! A device that reaches for what is another's, or for what nobody has.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use millrace_tests::device::{Device, METHOD, filters};
use millrace_tests::scene::{Scene, key};
use serde_json::json;

use crate::bystander::Bystander;

/// Topics that no device may publish to, or not this one.
const TOPICS: [&str; 16] = [
    "devices/device-0/messages/events/",
    "devices/device-0/messages/devicebound/x",
    "devices/device-1/messages/devicebound/x",
    "devices/device-1/modules/m/messages/events/",
    "devices/device-1/../device-0/messages/events/",
    "devices/device-1x/messages/events/",
    "$iothub/twin/res/200/?$rid=1",
    "$iothub/twin/PATCH/properties/desired/?$version=1",
    "$iothub/methods/POST/reboot/?$rid=1",
    "$iothub/unknown",
    "$dps/registrations/PUT/iotdps-register/?$rid=1",
    "$SYS/broker",
    "a",
    "#",
    "+/+",
    "",
];

/// Filters that it may not have.
const FILTERS: [&str; 9] = [
    "#",
    "+/#",
    "$iothub/#",
    "$iothub/+/res/#",
    "devices/+/messages/devicebound/#",
    "devices/device-0/messages/devicebound/#",
    "$share/g/devices/device-1/messages/devicebound/#",
    "$dps/registrations/res/#",
    "",
];

#[test]
fn what_is_anothers_stays_anothers() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    scene.devices(2)?;
    let mut victim = scene.connect("device-0")?;
    victim.subscribe(&filters("device-0"))?;
    for topic in TOPICS {
        for is_acknowledged in [false, true] {
            let mut device = scene.connect("device-1")?;
            device.publish(topic, b"{\"desired\":{}}", is_acknowledged)?;
            device.closed().map_err(|error| error.context(topic))?;
        }
    }
    for filter in FILTERS {
        let mut device = scene.connect("device-1")?;
        match device.subscribe(&[filter]) {
            Ok(granted) => ensure!(granted == [0x80], "{filter}: {granted:?}"),
            Err(_) => device.closed().map(drop)?,
        }
    }
    bystander.unharmed()?;
    let heard = victim.message_within("", Duration::from_millis(200))?;
    ensure!(heard.is_none(), "the victim heard {heard:?}");
    victim.telemetry(b"{}")?;
    bystander.finish(scene)
}

#[test]
fn no_text_and_no_packet_does_more_than_end_its_connection() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    scene.devices(1)?;
    let own = b"devices/device-0/messages/events/";
    let topics: [Vec<u8>; 4] =
        [[own, &b"\xff\xfe"[..]].concat(), [own, &b"a\0b"[..]].concat(), vec![b'a'; 65_535], vec![b'/'; 65_535]];
    for topic in topics {
        let mut device = scene.connect("device-0")?;
        // The hub may have closed before all of it was written.
        drop(device.publish_to(&topic, b"x", true));
        device.closed()?;
    }
    let packets: [&[u8]; 10] = [
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0x32, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0x36, 2, 0, 0],
        &[0x00, 0],
        &[0xF0, 0],
        &[0x10, 0],
        &[0x20, 2, 0, 0],
        &[0x80, 5, 0, 1, 0, 0, 0],
        &[0x82, 2, 0, 1],
        &[0x34, 5, 0, 1, b'a', 0, 1],
    ];
    for packet in packets {
        for is_connected in [true, false] {
            let mut device = if is_connected { scene.connect("device-0")? } else { Device::dial(scene.hub.mqtt)? };
            device.send(packet)?;
            device.closed().map_err(|error| error.context(format!("{packet:02x?}")))?;
        }
    }
    bystander.finish(scene)
}

/// The numbers of calls are easy to guess; an answer counts only from the device that was asked.
#[test]
fn nobody_answers_for_another() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    scene.devices(2)?;
    let (mut victim, mut other) = (scene.connect("device-0")?, scene.connect("device-1")?);
    for (id, device) in [("device-0", &mut victim), ("device-1", &mut other)] {
        device.subscribe(&filters(id))?;
    }
    let rest = scene.rest.clone();
    let caller = std::thread::spawn(move || {
        let call = json!({"methodName": "open", "payload": "mine", "responseTimeoutInSeconds": 30});
        rest.call("POST", "/twins/device-0/methods", &call)
    });
    let call = victim.message(METHOD)?;
    for status in [200, 500] {
        other.answer(&call, status)?;
    }
    for rid in ["0", "1", "ffffffff", "-1", "99999999999999999999", "%00", "$rid"] {
        other.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), b"\"forged\"", false)?;
        // What is no number of a call may end the connection.
        if other.telemetry(b"{}").is_err() {
            other = Device::connect(scene.hub.mqtt, "device-1", &key()?)?.0;
        }
    }
    victim.answer(&call, 201)?;
    let Ok(answer) = caller.join() else { bail!("the caller panicked") };
    let answer = answer?.json();
    ensure!(answer["status"] == 201 && answer["payload"] == "mine", "{answer}");
    bystander.finish(scene)
}
