//! The device API without sockets: what each route answers to what.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request};
use millrace_control::Received;
use millrace_ingest::Proof;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tower_service::Service as _;

use crate::device::Settlement;
use crate::tests::{World, found, token, with_keys};

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

async fn ask(world: &Arc<World>, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let token = token("d1");
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        request = request.header("authorization", &token);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = world.router().as_service::<Body>().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

const EVENTS: &str = "/devices/d1/messages/events?api-version=2020-09-30";
const BATCH: (&str, &str) = ("content-type", "application/vnd.microsoft.iothub.json");

#[tokio::test]
async fn batches_are_taken_in_order_and_whole() {
    let world = World::new();
    let elements: Vec<String> =
        (0..1000).map(|number| format!(r#"{{"body":"{number}","base64Encoded":false}}"#)).collect();
    let answer = ask(&world, "POST", EVENTS, &[BATCH], &format!("[{}]", elements.join(","))).await;
    assert_eq!(answer.status, 204);
    let bodies: Vec<String> =
        world.submitted.lock().unwrap().iter().map(|one| String::from_utf8(one.body.to_vec()).unwrap()).collect();
    assert_eq!(bodies, (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_journal_asks_to_come_again() {
    let world = World::new();
    *world.room.lock().unwrap() = 1;
    let answer = ask(&world, "POST", EVENTS, &[BATCH], r#"[{"body":""},{"body":""}]"#).await;
    assert_eq!((answer.status, &answer.headers["retry-after"]), (429, &"5".parse().unwrap()));
    assert_eq!(answer.headers["iothub-errorcode"], "ThrottlingException");
}

#[tokio::test]
async fn sizes_have_a_limit() {
    let world = World::new();
    assert_eq!(ask(&world, "POST", EVENTS, &[], &"x".repeat(256 * 1024)).await.status, 204);
    assert_eq!(ask(&world, "POST", EVENTS, &[], &"x".repeat(256 * 1024 + 1)).await.status, 413);
    assert_eq!(ask(&world, "POST", EVENTS, &[], &"x".repeat(1 << 20)).await.status, 413);
    assert_eq!(ask(&world, "POST", EVENTS, &[("iothub-app-a", "b")], &"x".repeat(256 * 1024)).await.status, 413);
    assert_eq!(ask(&world, "POST", EVENTS, &[BATCH], "[").await.status, 400);
    assert_eq!(world.submitted.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn ids_are_decoded_once_and_every_character_has_its_answer() {
    for legal in ["-.+%_#*?!(),:=@$';", "a%2Fb", "..", "%", "A1"] {
        let world = World::new();
        world.devices.lock().unwrap().insert(legal.to_owned(), with_keys());
        let path = format!("/devices/{}/messages/events", utf8_percent_encode(legal, NON_ALPHANUMERIC));
        let token = token(legal);
        let answer = ask(&world, "POST", &path, &[("authorization", &token)], "x").await;
        assert_eq!(answer.status, 204, "{legal}");
        assert_eq!(world.submitted.lock().unwrap()[0].identity.as_ref().device_id, legal);
    }
    let long = "x".repeat(129);
    for illegal in ["%2F", "a%20b", "%00", "%C3%A9", "%FF", "%0A", "%22", "a%5Cb", "%7B", &long] {
        let answer = ask(&World::new(), "POST", &format!("/devices/{illegal}/messages/events"), &[], "x").await;
        assert_eq!(answer.status, 400, "{illegal}");
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(body.contains("\"errorCode\":400004"), "{body}");
    }
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let world = World::new();
    world.devices.lock().unwrap().insert("d2".to_owned(), with_keys());
    world.devices.lock().unwrap().insert("off".to_owned(), millrace_ingest::Found { enabled: false, ..with_keys() });
    world.devices.lock().unwrap().insert("none".to_owned(), found(Proof::None));
    let (own, off, none) = (token("d1"), token("off"), token("none"));
    let unknown = token("unknown");
    let elsewhere = own.replace("hub.example.net", "other.example.net");
    for (path, token) in [
        ("/devices/d2/messages/events", own.as_str()),
        ("/devices/off/messages/events", &off),
        ("/devices/none/messages/events", &none),
        ("/devices/unknown/messages/events", &unknown),
        ("/devices/d1/messages/events", &elsewhere),
        ("/devices/d1/messages/events", "SharedAccessSignature sr=x"),
        ("/devices/d1/messages/events", "Basic eA=="),
        ("/devices/d1/messages/events", ""),
    ] {
        let answer = ask(&world, "POST", path, &[("authorization", token)], "x").await;
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!(answer.status, 401, "{path} {token} {body}");
        assert!(body.contains("ErrorCode:IotHubUnauthorizedAccess;"));
    }
    assert!(world.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_device_created_elsewhere_gets_in() {
    let world = World::new();
    world.elsewhere.lock().unwrap().insert("new".to_owned(), with_keys());
    let token = token("new");
    let answer = ask(&world, "POST", "/devices/new/messages/events", &[("authorization", &token)], "x").await;
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn commands_are_received_and_settled() {
    let world = World::new();
    let path = "/devices/d1/messages/devicebound";
    assert_eq!(ask(&world, "GET", path, &[], "").await.status, 204);
    let headers = [("ETag", "\"l1\""), ("iothub-messageid", "m1"), ("iothub-app-k", "é"), ("bad name", "x")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    world.waiting.lock().unwrap().push(Received { lock_token: "l1".to_owned(), headers, body: Bytes::from("go") });
    let upper = "/devices/d1/messages/deviceBound?api-version=2020-09-30";
    let answer = ask(&world, "GET", upper, &[("IotHub-MessageLockTimeout", "60")], "").await;
    assert_eq!((answer.status, answer.body.as_ref()), (200, &b"go"[..]));
    assert_eq!(
        (&answer.headers["etag"], &answer.headers["iothub-messageid"]),
        (&"\"l1\"".parse().unwrap(), &"m1".parse().unwrap())
    );
    for bad in ["0", "301", "-1", "x", "99999999999999999999"] {
        assert_eq!(ask(&world, "GET", path, &[("iothub-messagelocktimeout", bad)], "").await.status, 400, "{bad}");
    }
    for (method, end, how) in [
        ("DELETE", "/a?api-version=2016-11-14", Settlement::Complete),
        ("DELETE", "/b?reject&api-version=2016-11-14", Settlement::Reject),
        ("DELETE", "/c?api-version=2016-11-14&reject=true", Settlement::Reject),
        ("DELETE", "/d?reject=false", Settlement::Complete),
        ("POST", "/e/abandon?api-version=2016-11-14", Settlement::Abandon),
    ] {
        assert_eq!(ask(&world, method, &format!("{path}{end}"), &[("if-match", "x")], "").await.status, 204, "{end}");
        assert_eq!(world.settled.lock().unwrap().last().unwrap().1, how, "{end}");
    }
    let answer = ask(&world, "DELETE", &format!("{path}/old"), &[], "").await;
    assert_eq!((answer.status, &answer.headers["iothub-errorcode"]), (412, &"DeviceMessageLockLost".parse().unwrap()));
}

#[tokio::test]
async fn other_methods_modules_and_files_have_their_answers() {
    let world = World::new();
    assert_eq!(ask(&world, "GET", EVENTS, &[], "").await.status, 405);
    let module = ask(&world, "POST", "/devices/d1/modules/m1/messages/events", &[], "x").await;
    assert_eq!((module.status, &module.headers["iothub-errorcode"]), (400, &"InvalidOperation".parse().unwrap()));
    for path in [
        "/devices/d1/files",
        "/devices/d1/files/",
        "/devices/d1/files/notifications/",
        "/devices/d1/files/notifications/x",
    ] {
        assert_eq!(ask(&world, "POST", path, &[], "{}").await.status, 400, "{path}: no files here");
    }
}
