//! Twins and direct methods.

use millrace_model::door::ToDevice;

use super::*;

#[tokio::test]
async fn twins_are_read_merged_and_replaced_under_their_etag() {
    let served = with_devices(&["d"]).await;
    put(&served, "/devices/d/modules/m", json!({"deviceId": "d", "moduleId": "m"})).await;
    served.connect(1, &name("d", None)).await;
    for path in ["/twins/d", "/twins/d/modules/m"] {
        let fresh = get(&served, path).await;
        assert_eq!((fresh.json()["deviceId"].as_str(), fresh.json()["version"].as_u64()), (Some("d"), Some(1)));
        let etag = fresh.header("etag").to_owned();
        assert_eq!(etag, format!("\"{}\"", fresh.json()["etag"].as_str().unwrap()));
        // As SDKs do it: the whole twin comes back with a change in it.
        let mut twin = fresh.json();
        twin["tags"] = json!({"site": "A"});
        twin["properties"]["desired"]["interval"] = json!(10);
        let merged = served.call_with(Method::PATCH, path, &[("if-match", &etag)], twin).await;
        assert_eq!((merged.status.as_u16(), &merged.json()["tags"]), (200, &json!({"site": "A"})), "{}", merged.json());
        assert_eq!(merged.json()["properties"]["desired"]["$version"], 2);
        let late = served.call_with(Method::PATCH, path, &[("if-match", &etag)], json!({"tags": {}})).await;
        assert_eq!((late.status.as_u16(), late.error_code()), (412, 412_001));
        let bare = etag.trim_matches('"').to_owned();
        let late = served.call_with(Method::PUT, path, &[("if-match", &bare)], json!({})).await;
        assert_eq!(late.status, 412, "without quotes too");
        let replaced = served
            .call_with(Method::PUT, path, &[("if-match", "\"*\"")], json!({"properties": {"desired": {"x": 1}}}))
            .await;
        assert_eq!((&replaced.json()["tags"], &replaced.json()["properties"]["desired"]["x"]), (&json!({}), &json!(1)));
        assert!(replaced.json()["properties"]["desired"].get("interval").is_none());
    }
    served.told(1, |what| matches!(what, ToDevice::Desired { version: 2, .. })).await;
    served.told(1, |what| matches!(what, ToDevice::Desired { version: 3, .. })).await;
}

#[tokio::test]
async fn what_no_twin_can_be_is_refused() {
    let served = with_devices(&["d"]).await;
    let deep = (0..12).fold(json!(1), |inner, _| json!({ "a": inner }));
    for (path, patch, code) in [
        ("/twins/unknown", json!({}), 404_001),
        ("/twins/d/modules/unknown", json!({}), 404_010),
        ("/twins/d", json!([]), 400_006),
        ("/twins/d", json!({"tags": {"a.b": 1}}), 400_004),
        ("/twins/d", json!({"tags": {"$a": 1}}), 400_004),
        ("/twins/d", json!({"tags": deep}), 400_004),
        ("/twins/d", json!({"properties": {"desired": {"a": "x".repeat(5_000)}}}), 400_004),
        (
            "/twins/d",
            json!({"tags": (0..3_000).map(|n| (format!("k{n}"), json!(1))).collect::<serde_json::Map<_, _>>()}),
            413_001,
        ),
        ("/twins/d", json!({"desired": {}}), 400_004),
    ] {
        let answer = served.call(Method::PATCH, path, patch).await;
        assert_eq!(answer.error_code(), code, "{path} {}", answer.json());
    }
    assert_eq!(get(&served, "/twins/d").await.json()["version"], 1, "nothing has changed");
}

#[tokio::test]
async fn methods_are_called_and_answered() {
    let served = with_devices(&["d"]).await;
    put(&served, "/devices/d/modules/m", json!({"deviceId": "d", "moduleId": "m"})).await;
    let offline = post(&served, "/twins/d/methods", json!({"methodName": "reboot"})).await;
    assert_eq!((offline.status.as_u16(), offline.error_code()), (404, 404_103));
    served.connect(1, &name("d", None)).await;
    served.connect(2, &name("d", Some("m"))).await;
    for path in ["/twins/d/methods", "/twins/d/modules/m/methods"] {
        let call = json!({"methodName": "reboot", "payload": {"a": [1, null]}, "responseTimeoutInSeconds": 30, "connectTimeoutInSeconds": 0});
        let answer = post(&served, path, call).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"status": 200, "payload": {"a": [1, null]}})));
        assert!(answer.header("content-type").starts_with("application/json"));
    }
    let failing = post(&served, "/twins/d/methods", json!({"methodName": "fail"})).await;
    assert_eq!(
        (failing.status.as_u16(), failing.json()),
        (200, json!({"status": 500, "payload": null})),
        "the device's own status"
    );
    for (path, call, code) in [
        ("/twins/unknown/methods", json!({"methodName": "m"}), 404_001),
        ("/twins/d/modules/unknown/methods", json!({"methodName": "m"}), 404_010),
        ("/twins/d/methods", json!({}), 400_006),
        ("/twins/d/methods", json!({"methodName": "a b"}), 400_004),
        ("/twins/d/methods", json!({"methodName": "m", "responseTimeoutInSeconds": 1}), 400_004),
        ("/twins/d/methods", json!({"methodName": "m", "payload": "x".repeat(140_000)}), 413_001),
        ("/twins/d/methods", json!({"methodName": "m", "payload": "x".repeat(400_000)}), 413_001),
    ] {
        let answer = post(&served, path, call).await;
        assert_eq!(answer.error_code(), code, "{path} {}", answer.json());
    }
    let silent =
        post(&served, "/twins/d/methods", json!({"methodName": "silent", "responseTimeoutInSeconds": 5})).await;
    assert_eq!((silent.status.as_u16(), silent.error_code()), (504, 504_101));
}
