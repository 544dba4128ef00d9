//! Requests of the service API that are no requests: queries, conditions, pages, paths and bodies.

use std::io::Write as _;

use anyhow::{Result, ensure};
use millrace_tests::rest::{answer, connection};
use millrace_tests::scene::Scene;
use serde_json::json;

use crate::bystander::{Bystander, refused};

/// Conditions that are none.
fn bad_conditions() -> Vec<String> {
    let deep = |open: &str, levels: usize, close: &str| format!("{}1 = 1{}", open.repeat(levels), close.repeat(levels));
    vec![
        "tags.a = '".to_owned(),
        "tags.a = 'x'; DROP TABLE identity".to_owned(),
        "1=1 UNION SELECT * FROM identity".to_owned(),
        "tags.a = 'x' -- ".to_owned(),
        "tags.a = (SELECT key FROM identity)".to_owned(),
        "load_extension('x')".to_owned(),
        "tags.a LIKE '%'".to_owned(),
        "tags..a = 1".to_owned(),
        "tags.a = 1 ORDER BY tags.a".to_owned(),
        "\u{0}".to_owned(),
        deep("(", 2_000, ")"),
        deep("NOT ", 1_900, ""),
        deep("- ", 3_000, ""),
        deep("ABS(", 1_500, ")"),
        format!("tags.a IN [{}", "1,".repeat(4_000)),
        format!("tags.a = '{}'", "x".repeat(100_000)),
    ]
}

#[test]
fn queries_are_a_grammar_and_pages_are_the_hubs_own() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    scene.devices(3)?;
    let query = |text: &str, headers: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().copied().chain([("Content-Type", "application/json")]).collect();
        let body = json!({"query": text}).to_string();
        scene.rest.call_with("POST", "/devices/query", &headers, body.as_bytes())
    };
    for condition in bad_conditions() {
        let text = format!("SELECT * FROM devices WHERE {condition}");
        let short: String = condition.chars().take(40).collect();
        refused(&short, &query(&text, &[])?, &[400, 413])?;
        let job = json!({"jobId": "j", "type": "scheduleUpdateTwin", "updateTwin": {"etag": "*", "tags": {"a": 1}},
                         "queryCondition": condition, "startTime": "2020-01-01T00:00:00Z"});
        refused(&short, &scene.rest.call("PUT", "/jobs/v2/j", &job)?, &[400, 413])?;
        let configuration = json!({"id": "c", "content": {"deviceContent": {}}, "targetCondition": condition});
        refused(&short, &scene.rest.call("PUT", "/configurations/c", &configuration)?, &[400, 413])?;
    }
    for text in [
        "",
        "SELECT",
        "DELETE FROM devices",
        "SELECT * FROM identity",
        "PRAGMA user_version",
        "SELECT * FROM devices.keys",
    ] {
        refused(text, &query(text, &[])?, &[400])?;
    }
    let all = "SELECT * FROM devices";
    for page in ["x", "AAAA", "'; --", "////", "eyJhIjoxfQ==", &"A".repeat(10_000)] {
        refused(page, &query(all, &[("x-ms-continuation", page)])?, &[400])?;
    }
    for count in ["0", "-1", "1001", "99999999999999999999", "x", ""] {
        refused(count, &query(all, &[("x-ms-max-item-count", count)])?, &[400])?;
    }
    // A page of one query is no page of another.
    let first = query(all, &[("x-ms-max-item-count", "1")])?;
    let page = first.header("x-ms-continuation").unwrap_or_default().to_owned();
    ensure!(first.status == 200 && !page.is_empty(), "{first:?}");
    let next = query(all, &[("x-ms-max-item-count", "1"), ("x-ms-continuation", &page)])?;
    ensure!(next.status == 200 && next.json().as_array().is_some_and(|rows| rows.len() == 1), "{next:?}");
    let devices = scene.rest.call_with("GET", "/devices", &[], b"")?.json();
    ensure!(devices.as_array().is_some_and(|devices| devices.len() == 4), "{devices}");
    bystander.finish(scene)
}

#[test]
fn bodies_that_are_none_are_refused() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    scene.devices(1)?;
    let calls = [
        ("PUT", "/devices/device-9"),
        ("POST", "/devices"),
        ("PATCH", "/twins/device-0"),
        ("PUT", "/twins/device-0"),
        ("POST", "/twins/device-0/methods"),
        ("POST", "/devices/query"),
        ("PUT", "/jobs/v2/j"),
        ("POST", "/jobs/create"),
        ("PUT", "/configurations/c"),
        ("PATCH", "/digitaltwins/device-0"),
        ("POST", "/models"),
        ("PUT", "/certificates/c"),
    ];
    let deep = "[".repeat(100_000);
    let objects = "{\"a\":".repeat(20_000);
    let wrong = "{\"deviceId\":{},\"query\":[],\"methodName\":1,\"jobId\":[],\"id\":{},\"certificate\":{}}";
    for (method, path) in calls {
        for body in ["", "{", "nonsense", "\u{0}", "\"text\"", "[[[]]]", wrong, &deep, &objects] {
            let headers = [("Content-Type", "application/json")];
            let answer = scene.rest.call_with(method, path, &headers, body.as_bytes())?;
            if body == wrong && path.starts_with("/twins/device-0") && !path.ends_with("methods") {
                // Members of a twin that are not the service's to write are skipped, whatever they are.
                ensure!(answer.status == 200, "{method} {path}: {answer:?}");
                continue;
            }
            let short: String = body.chars().take(30).collect();
            refused(&format!("{method} {path}: {short}"), &answer, &[400, 404, 413])?;
        }
        let answer = scene.rest.call_with(method, path, &[("Content-Type", "application/json")], b"\xff\xfe{}")?;
        refused(&format!("{method} {path}: no UTF-8"), &answer, &[400])?;
    }
    let many: Vec<_> = (0..101).map(|number| json!({"id": format!("b{number}"), "importMode": "create"})).collect();
    refused("101 at once", &scene.rest.call("POST", "/devices", &json!(many))?, &[400, 413])?;
    bystander.finish(scene)
}

#[test]
fn http_that_is_none_costs_its_own_connection() -> Result<()> {
    let scene = Scene::new("")?;
    let bystander = Bystander::start(&scene)?;
    let requests: [Vec<u8>; 9] = [
        b"\0\0\0\0\r\n\r\n".to_vec(),
        b"GET /devices\xff HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n".to_vec(),
        b"GET /devices HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"PUT /devices/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde".to_vec(),
        b"PUT /devices/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
            .to_vec(),
        [b"GET /", "a".repeat(200_000).as_bytes(), b" HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat(),
        [b"GET / HTTP/1.1\r\nHost: localhost\r\n", "A: b\r\n".repeat(5_000).as_bytes(), b"\r\n"].concat(),
        [b"GET / HTTP/1.1\r\nHost: localhost\r\nA: ", "b".repeat(200_000).as_bytes(), b"\r\n\r\n"].concat(),
    ];
    for bytes in requests {
        let mut stream = connection(scene.rest.address)?;
        // The hub may have closed before all of it was written, or answer nothing at all.
        drop(stream.write_all(&bytes));
        drop(stream.shutdown(std::net::Shutdown::Write));
        if let Ok(answer) = answer(&mut stream) {
            ensure!((400..500).contains(&answer.status) || answer.status == 505, "{answer:?}");
        }
    }
    bystander.finish(scene)
}
