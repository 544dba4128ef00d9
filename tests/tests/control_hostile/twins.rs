//! Twins that are too large, too deep, of the wrong names or versions, from the device and from the service.

use anyhow::{Result, ensure};
use millrace_tests::device::filters;
use millrace_tests::scene::Scene;
use serde_json::{Value, json};

use crate::bystander::{Bystander, refused};

/// Sections that no twin takes.
fn bad_sections() -> Vec<(&'static str, String)> {
    let text = |length: usize| "x".repeat(length);
    let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let many: Vec<String> = (0..20).map(|number| format!("\"k{number}\":\"{}\"", text(4_000))).collect();
    vec![
        ("too large", format!("{{{}}}", many.join(","))),
        ("a text too long", format!("{{\"a\":\"{}\"}}", text(5_000))),
        ("a name too long", format!("{{\"{}\":1}}", text(1_100))),
        ("too deep", deep(12)),
        ("a bomb of objects", deep(30_000)),
        ("a bomb of arrays", format!("{{\"a\":{}{}}}", "[".repeat(60_000), "]".repeat(60_000))),
        ("an open bomb", "[".repeat(200_000)),
        ("a dollar", "{\"$a\":1}".to_owned()),
        ("an operator", "{\"a\":{\"$set\":1}}".to_owned()),
        ("a dot", "{\"a.b\":1}".to_owned()),
        ("a blank", "{\"a b\":1}".to_owned()),
        ("a control character", "{\"a\\u0001b\":1}".to_owned()),
        ("an integer too large", "{\"a\":4503599627370497}".to_owned()),
        ("an integer far too large", format!("{{\"a\":{}}}", "9".repeat(10_000))),
        ("no number", "{\"a\":NaN}".to_owned()),
        ("an endless number", "{\"a\":1e999999999}".to_owned()),
        ("half of a pair", "{\"a\":\"\\ud800\"}".to_owned()),
        ("an array", "[]".to_owned()),
        ("a text", "\"a\"".to_owned()),
        ("an open end", "{\"a\":".to_owned()),
        ("two", "{}{}".to_owned()),
    ]
}

#[test]
fn bad_patches_of_a_device_change_nothing() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    scene.devices(1)?;
    let mut device = scene.connect("device-0")?;
    device.subscribe(&filters("device-0"))?;
    let version = device.report(b"{\"fine\":1}")?.version;
    let not_text: [(&str, Vec<u8>); 3] =
        [("no UTF-8", b"{\"a\":\"\xff\"}".to_vec()), ("nothing", Vec::new()), ("zeros", vec![0; 1000])];
    let bad = bad_sections().into_iter().map(|(what, text)| (what, text.into_bytes())).chain(not_text);
    for (what, patch) in bad {
        let answer = device.report(&patch).map_err(|error| error.context(what))?;
        ensure!([400, 413].contains(&answer.status), "{what}: {answer:?}");
        ensure!(answer.body["errorCode"].is_u64() && answer.body["message"].is_string(), "{what}: {answer:?}");
    }
    let answer = device.report_if("&$version=999", b"{\"fine\":2}")?;
    ensure!(answer.status == 412 && answer.body["errorCode"].is_u64(), "{answer:?}");
    // A topic that is none of the hub's ends the connection.
    for condition in ["&$version=-1", "&$version=x", "&$rid=2", "&$version=18446744073709551616"] {
        ensure!(device.report_if(condition, b"{\"fine\":3}").is_err(), "{condition}");
        device = scene.connect("device-0")?;
    }
    let twin = device.twin()?.body;
    ensure!(twin["reported"] == json!({"fine": 1, "$version": version}), "{twin}");
    bystander.finish(scene)
}

#[test]
fn bad_writes_of_the_service_change_nothing() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    scene.devices(1)?;
    let write = |method: &str, etag: &str, body: &str| {
        let headers = [("Content-Type", "application/json"), ("If-Match", etag)];
        scene.rest.call_with(method, "/twins/device-0", &headers, body.as_bytes())
    };
    let before = write("PATCH", "*", "{\"tags\":{\"site\":\"A\"}}")?.json();
    for (what, section) in bad_sections() {
        for (method, around) in [("PATCH", "properties"), ("PUT", "properties"), ("PATCH", "tags")] {
            let body = match around {
                "tags" => format!("{{\"tags\":{section}}}"),
                _ => format!("{{\"properties\":{{\"desired\":{section}}}}}"),
            };
            refused(&format!("{method} {around}: {what}"), &write(method, "*", &body)?, &[400, 413])?;
        }
    }
    for etag in ["\"AAAAAAAAAAA=\"", "AAAA", "\"", "\"\"", "'; DROP TABLE twin; --", "\u{e9}", &"x".repeat(5_000)] {
        refused(etag, &write("PATCH", etag, "{\"tags\":{\"site\":\"B\"}}")?, &[400, 412])?;
        refused(etag, &write("PUT", etag, "{\"tags\":{\"site\":\"B\"}}")?, &[400, 412])?;
        let headers = [("If-Match", etag)];
        refused(etag, &scene.rest.call_with("DELETE", "/devices/device-0", &headers, b"")?, &[400, 412])?;
    }
    let large = format!("{{\"tags\":{{\"a\":\"{}\"}}}}", "x".repeat(3 << 20));
    refused("3 MiB", &write("PATCH", "*", &large)?, &[413])?;
    let after: Value = scene.rest.call_with("GET", "/twins/device-0", &[], b"")?.json();
    ensure!(after["etag"] == before["etag"] && after["version"] == before["version"], "{before} -> {after}");
    bystander.finish(scene)
}
