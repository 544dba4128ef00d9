//! Identities, their lists, bulk calls and numbers.

use millrace_protocols_identity::sas;

use super::*;

#[tokio::test]
async fn an_identity_lives_and_dies_as_the_sdks_expect() {
    let served = serve().await;
    let path = "/devices/d1?api-version=2021-04-12";
    let created = put(&served, path, device("d1")).await;
    let (etag, body) = (created.header("etag").to_owned(), created.json());
    assert_eq!((created.status.as_u16(), &body["deviceId"]), (200, &json!("d1")));
    assert_eq!(etag, format!("\"{}\"", body["etag"].as_str().unwrap()));
    assert_eq!(created.header("content-type"), "application/json");
    assert_eq!(body["authentication"]["symmetricKey"]["primaryKey"], "a2tra2tra2tra2tra2tra2tra2s=");
    assert_eq!(body["authentication"]["symmetricKey"]["secondaryKey"].as_str().unwrap().len(), 44);
    assert_eq!(
        body["authentication"]["x509Thumbprint"],
        json!({"primaryThumbprint": null, "secondaryThumbprint": null})
    );
    assert!(body["generationId"].as_str().unwrap().starts_with("63"));
    assert_eq!((&body["connectionState"], &body["cloudToDeviceMessageCount"]), (&json!("Disconnected"), &json!(0)));

    let again = put(&served, path, device("d1")).await;
    assert_eq!((again.status.as_u16(), again.error_code()), (409, 409_001));
    assert!(again.json()["Message"].as_str().unwrap().starts_with("ErrorCode:DeviceAlreadyExists;"));
    assert_eq!(again.header("iothub-errorcode"), "DeviceAlreadyExists");

    let disable = json!({"deviceId": "d1", "status": "disabled", "statusReason": "lost"});
    let disabled = served.call_with(Method::PUT, path, &[("if-match", &etag)], disable.clone()).await;
    assert_eq!((&disabled.json()["status"], &disabled.json()["statusReason"]), (&json!("disabled"), &json!("lost")));
    assert_eq!(disabled.json()["authentication"], body["authentication"], "keys that are left out stay");
    for (method, body) in [(Method::PUT, disable), (Method::DELETE, Value::Null)] {
        let late = served.call_with(method, path, &[("if-match", &etag)], body).await;
        assert_eq!((late.status.as_u16(), late.error_code()), (412, 412_001));
    }
    let gone =
        served.call_with(Method::DELETE, path, &[("if-match", "\"*\""), ("content-length", "0")], Value::Null).await;
    assert_eq!((gone.status.as_u16(), gone.bytes.len()), (204, 0));
    assert_eq!(get(&served, path).await.error_code(), 404_001);
    assert_eq!(delete(&served, path).await.error_code(), 404_001);
}

#[tokio::test]
async fn all_authentication_types_are_kept_as_they_are_given() {
    let served = serve().await;
    let sha256 = "0a".repeat(32);
    for (id, authentication, shown) in [
        ("sas", json!({"type": "sas", "symmetricKey": {"primaryKey": "", "secondaryKey": ""}}), json!("sas")),
        ("self", json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": sha256}}), json!("selfSigned")),
        (
            "bare",
            json!({"x509Thumbprint": {"primaryThumbprint": "0A".repeat(20), "secondaryThumbprint": sha256}}),
            json!("selfSigned"),
        ),
        ("ca", json!({"type": "certificateAuthority"}), json!("certificateAuthority")),
        ("none", json!({"type": "none"}), json!("none")),
    ] {
        let path = format!("/devices/{id}");
        let made =
            put(&served, &path, json!({"deviceId": id, "authentication": authentication, "unknown": {"a": [1]}})).await;
        assert_eq!(made.json()["authentication"]["type"], shown, "{}", made.json());
        assert_eq!(get(&served, &format!("/twins/{id}")).await.json()["authenticationType"], shown);
    }
    let shown = get(&served, "/devices/bare").await.json();
    assert_eq!(shown["authentication"]["x509Thumbprint"]["secondaryThumbprint"], sha256.to_uppercase());
    assert_eq!(
        get(&served, "/devices/sas").await.json()["authentication"]["symmetricKey"]["primaryKey"]
            .as_str()
            .unwrap()
            .len(),
        44
    );
    let to_ca = json!({"deviceId": "sas", "authentication": {"type": "certificateAuthority"}});
    let changed = served.call_with(Method::PUT, "/devices/sas", &[("if-match", "*")], to_ca).await;
    assert_eq!(changed.json()["authentication"]["symmetricKey"]["primaryKey"], json!(null));
}

#[tokio::test]
async fn edge_devices_and_their_children_name_scopes() {
    let served = serve().await;
    let edge =
        put(&served, "/devices/edge", json!({"deviceId": "edge", "capabilities": {"iotEdge": true}})).await.json();
    let scope = edge["deviceScope"].as_str().unwrap().to_owned();
    assert!(scope.starts_with("ms-azure-iot-edge://edge-"), "{scope}");
    let child = json!({"deviceId": "child", "deviceScope": scope, "parentScopes": [scope]});
    let child = put(&served, "/devices/child", child).await.json();
    assert_eq!((&child["deviceScope"], &child["parentScopes"]), (&json!(scope), &json!([scope])));
    let twin = get(&served, "/twins/child").await.json();
    assert_eq!((&twin["deviceScope"], &twin["capabilities"]["iotEdge"]), (&json!(scope), &json!(false)));
}

#[tokio::test]
async fn modules_lists_and_statistics() {
    let served = serve().await;
    for id in ["a", "b#c%", "z"] {
        assert_eq!(put(&served, &format!("/devices/{}", sas::encode(id)), device(id)).await.status, 200);
    }
    let module = json!({"deviceId": "a", "moduleId": "$edgeHub", "managedBy": "x"});
    assert_eq!(put(&served, "/devices/a/modules/%24edgeHub", module.clone()).await.status, 200);
    let again = put(&served, "/devices/a/modules/%24edgeHub", module).await;
    assert_eq!((again.status.as_u16(), again.error_code()), (409, 409_301));
    let modules = get(&served, "/devices/a/modules").await.json();
    assert_eq!((&modules[0]["moduleId"], &modules[0]["managedBy"]), (&json!("$edgeHub"), &json!("x")));
    assert!(modules[0].get("status").is_none());
    assert_eq!(get(&served, "/devices/q/modules").await.error_code(), 404_001);

    let first = get(&served, "/devices/?top=2&api-version=1").await;
    assert_eq!((first.json().as_array().unwrap().len(), first.header("x-ms-continuation")), (2, "b#c%"));
    let rest = served.call_with(Method::GET, "/devices", &[("x-ms-continuation", "b#c%")], Value::Null).await;
    assert_eq!((rest.json()[0]["deviceId"].as_str(), rest.header("x-ms-continuation")), (Some("z"), ""));
    let expected = json!({"totalDeviceCount": 3, "enabledDeviceCount": 3, "disabledDeviceCount": 0});
    assert_eq!(get(&served, "/statistics/devices").await.json(), expected);
    served.connect(1, &name("a", None)).await;
    assert_eq!(get(&served, "/statistics/service").await.json(), json!({"connectedDeviceCount": 1}));
    assert_eq!(get(&served, "/devices/a").await.json()["connectionState"], "Connected");

    assert_eq!(delete(&served, "/devices/a/modules/%24edgeHub").await.status, 204);
    assert_eq!(get(&served, "/devices/a/modules/%24edgeHub").await.error_code(), 404_010);
}

#[tokio::test]
async fn bulk_calls_do_what_they_can_and_name_the_rest() {
    let served = serve().await;
    let create =
        |id: &str| json!({"id": id, "importMode": "create", "authentication": {"type": "sas"}, "tags": {"bulk": true}});
    let answer = post(&served, "/devices", json!([create("a"), create("b"), create("a"), create("x/y")])).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["isSuccessful"]), (400, &json!(false)));
    let mut codes: Vec<_> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["deviceId"].as_str().unwrap().to_owned(), error["errorCode"].as_u64().unwrap()))
        .collect();
    codes.sort_unstable();
    assert_eq!(codes, [("a".to_owned(), 409_001), ("x/y".to_owned(), 400_004)]);
    assert_eq!(get(&served, "/twins/b").await.json()["tags"], json!({"bulk": true}));

    let twin_etag = get(&served, "/twins/b").await.json()["etag"].clone();
    let mixed = json!([
        {"id": "a", "importMode": "update", "status": "disabled"},
        {"id": "c", "importMode": "createOrUpdate", "status": "enabled", "properties": {"desired": {"x": 1}}},
        {"id": "b", "importMode": "deleteIfMatchETag", "eTag": "AAAA"},
        {"id": "a", "moduleId": "m", "importMode": "create"},
        {"id": "q", "importMode": "update"},
        {"id": "q", "moduleId": "m", "importMode": "createOrUpdate"},
        {"id": "b", "importMode": "updateTwinIfMatchETag", "twinETag": twin_etag, "tags": {"site": "B"}},
        {"id": "b", "importMode": "updateTwinIfMatchETag", "twinETag": "AAAAAAAAAAE=", "tags": {"site": "C"}},
    ]);
    let result = post(&served, "/devices", mixed).await.json();
    let codes: Vec<_> =
        result["errors"].as_array().unwrap().iter().map(|error| error["errorCode"].as_u64().unwrap()).collect();
    assert_eq!(codes, [412_001, 404_001, 404_001, 412_001], "{result}");
    assert_eq!(get(&served, "/devices/a").await.json()["status"], "disabled");
    assert_eq!(get(&served, "/devices/a/modules/m").await.status, 200);
    assert_eq!(get(&served, "/twins/c").await.json()["properties"]["desired"]["x"], 1);
    assert_eq!(get(&served, "/twins/b").await.json()["tags"], json!({"bulk": true, "site": "B"}));
    let good = post(&served, "/devices", json!([{"id": "b", "importMode": "delete"}])).await;
    assert_eq!((good.status.as_u16(), good.json()), (200, json!({"isSuccessful": true, "errors": [], "warnings": []})));
}
