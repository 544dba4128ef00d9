//! Cloud-to-device messages, their feedback, and news of files.

use axum::http::Request;
use millrace_control_files::Outcome;
use millrace_model::door::ToDevice;
use tower_service::Service as _;

use super::*;

async fn send(served: &Served, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
    let token = served.token("service", HOST, 60);
    let mut all = vec![("authorization", token.as_str())];
    all.extend(headers);
    served.send(Method::POST, path, &all, body.to_owned()).await
}

#[tokio::test]
async fn messages_wait_are_delivered_and_purged() {
    let served = with_devices(&["d"]).await;
    let path = "/devices/d/messages/devicebound?api-version=1";
    let headers = [
        ("iothub-messageid", "m1"),
        ("iothub-ack", "full"),
        ("iothub-app-color", "blue"),
        ("iothub-correlationid", "é"),
        ("iothub-app-%4cevel%20x", "50%25"),
    ];
    let sent = send(&served, path, &headers, "hello").await;
    assert_eq!((sent.status.as_u16(), sent.bytes.len()), (204, 0), "{}", sent.json());
    assert_eq!(send(&served, "/devices/d/messages/deviceBound", &[], "").await.status, 204);
    assert_eq!(get(&served, "/devices/d").await.json()["cloudToDeviceMessageCount"], 2);
    served.connect(1, &name("d", None)).await;
    let told = served.told(1, |what| matches!(what, ToDevice::Command { body, .. } if &**body == b"hello")).await;
    let ToDevice::Command { bag, .. } = told else { unreachable!() };
    assert!(bag.contains("Level%20x=50%25"), "a name keeps its case: {bag}");
    assert!(bag.contains("color=blue") && bag.contains("%24.mid=m1") && bag.contains("%24.cid=%C3%A9"), "{bag}");

    let purged = delete(&served, "/devices/d/commands").await;
    assert_eq!(purged.json(), json!({"totalMessagesPurged": 2, "deviceId": "d", "moduleId": null}));
    assert_eq!(delete(&served, "/devices/unknown/commands").await.error_code(), 404_001);
    assert_eq!(get(&served, "/devices/d").await.json()["cloudToDeviceMessageCount"], 0);
}

#[tokio::test]
async fn messages_that_cannot_be_are_refused() {
    let served = with_devices(&["d"]).await;
    let path = "/devices/d/messages/devicebound";
    for (path, headers, body, code) in [
        ("/devices/unknown/messages/devicebound", vec![], String::new(), 404_001),
        (path, vec![("iothub-ack", "maybe")], String::new(), 400_004),
        (path, vec![("iothub-expiry", "soon")], String::new(), 400_004),
        (path, vec![("iothub-app-", "x")], String::new(), 400_004),
        (path, vec![("iothub-app-a", "%ff")], String::new(), 400_004),
        (path, vec![], "x".repeat(64 * 1024 + 1), 413_001),
        (path, vec![("iothub-app-a", "b")], "x".repeat(64 * 1024), 413_001),
    ] {
        let answer = send(&served, path, &headers, &body).await;
        assert_eq!(answer.error_code(), code, "{headers:?} {}", answer.json());
    }
    let long = "m".repeat(129);
    assert_eq!(send(&served, path, &[("iothub-messageid", &long)], "").await.error_code(), 400_004);
    for _ in 0..50 {
        assert_eq!(send(&served, path, &[], "x").await.status, 204);
    }
    let full = send(&served, path, &[], "x").await;
    assert_eq!((full.status.as_u16(), full.error_code()), (403, 403_004));
}

#[tokio::test]
async fn feedback_is_received_abandoned_and_completed() {
    let served = with_devices(&["d"]).await;
    let path = "/messages/serviceBound/feedback";
    assert_eq!(get(&served, path).await.status, 204);
    // A whole batch, so that nothing waits for more.
    for number in 0..2 {
        for message in 0..32 {
            let id = format!("m{number}-{message}");
            let headers = [("iothub-messageid", id.as_str()), ("iothub-ack", "full")];
            assert_eq!(send(&served, "/devices/d/messages/devicebound", &headers, "x").await.status, 204);
        }
        assert_eq!(delete(&served, "/devices/d/commands").await.json()["totalMessagesPurged"], 32);
    }
    let received = get(&served, path).await;
    let lock = received.header("etag").trim_matches('"').to_owned();
    let records = received.json();
    assert_eq!((received.status.as_u16(), records.as_array().unwrap().len()), (200, 64));
    assert_eq!((&records[0]["statusCode"], &records[0]["deviceId"]), (&json!("Purged"), &json!("d")));
    assert_eq!(get(&served, path).await.status, 204, "it is locked");
    assert_eq!(post(&served, &format!("{path}/{lock}/abandon"), Value::Null).await.status, 204);
    let again = get(&served, "/messages/servicebound/feedback").await;
    let second = again.header("etag").trim_matches('"').to_owned();
    assert_eq!(again.json(), records);
    assert_eq!(delete(&served, &format!("{path}/{lock}")).await.error_code(), 412_002);
    assert_eq!(delete(&served, &format!("{path}/{second}")).await.status, 204);
    assert_eq!(delete(&served, &format!("{path}/{second}")).await.error_code(), 412_002);
    assert_eq!(delete(&served, &format!("{path}/nonsense")).await.error_code(), 412_002);
    assert_eq!(get(&served, path).await.status, 204);
}

#[tokio::test]
async fn file_notifications_are_received_abandoned_and_completed() {
    let served = with_devices(&["d"]).await;
    let path = "/messages/serviceBound/filenotifications";
    assert_eq!(get(&served, path).await.status, 204);
    let files = served.state.files.clone().unwrap();
    let upload = files.begin(&name("d", None), "a.txt").await.unwrap();
    let place = format!("/{}/{}{}", upload.container_name, upload.blob_name, upload.sas_token);
    let blob = Request::put(place).header("x-ms-blob-type", "BlockBlob").header("content-length", "5");
    let written = files.router().call(blob.body(axum::body::Body::from("hello")).unwrap()).await.unwrap();
    assert_eq!(written.status(), 201);
    let outcome = Outcome { is_success: true, status_code: 200, status_description: None };
    files.finish(&name("d", None), &upload.correlation_id, &outcome).await.unwrap();

    let received = get(&served, path).await;
    let lock = received.header("etag").trim_matches('"').to_owned();
    assert_eq!((received.status.as_u16(), &received.json()["blobName"]), (200, &json!("d/a.txt")));
    assert_eq!(received.json()["blobSizeInBytes"], 5);
    assert_eq!(get(&served, path).await.status, 204, "it is locked");
    let lock = millrace_protocols_identity::sas::encode(&lock);
    assert_eq!(post(&served, &format!("{path}/{lock}/abandon"), Value::Null).await.status, 204);
    let again = get(&served, path).await;
    let lock = millrace_protocols_identity::sas::encode(again.header("etag").trim_matches('"'));
    assert_eq!(again.json(), received.json());
    assert_eq!(delete(&served, &format!("{path}/{lock}")).await.status, 204);
    for nonsense in ["nonsense", lock.as_str()] {
        assert_eq!(delete(&served, &format!("{path}/{nonsense}")).await.error_code(), 412_002);
        assert_eq!(post(&served, &format!("{path}/{nonsense}/abandon"), Value::Null).await.error_code(), 412_002);
    }
}
