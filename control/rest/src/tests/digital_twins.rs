//! Models, digital twins and commands.

use super::*;

fn model() -> Value {
    let thermostat = json!({"@context": "dtmi:dtdl:context;2", "@id": "dtmi:example:Thermostat;1", "@type": "Interface", "contents": [
        {"@type": "Property", "name": "target", "schema": "double", "writable": true},
        {"@type": "Property", "name": "serial", "schema": "string"},
        {"@type": "Command", "name": "reboot", "request": {"name": "delay", "schema": "integer"}}]});
    let room = json!({"@context": "dtmi:dtdl:context;2", "@id": "dtmi:example:Room;1", "@type": "Interface", "contents": [
        {"@type": "Component", "name": "left", "schema": "dtmi:example:Thermostat;1"}]});
    json!([room, thermostat])
}

#[tokio::test]
async fn models_are_added_listed_shown_and_deleted() {
    let served = serve().await;
    let added = post(&served, "/models", model()).await;
    assert_eq!(added.status, 200, "{}", added.json());
    assert_eq!(added.json()["ids"].as_array().unwrap().len(), 2);
    assert_eq!(post(&served, "/models", model()).await.status, 200, "once more is harmless");
    let list = get(&served, "/models").await.json();
    assert_eq!(list[0]["id"], "dtmi:example:Room;1");
    let path = "/models/dtmi%3Aexample%3AThermostat%3B1";
    assert_eq!(get(&served, path).await.json()["@id"], "dtmi:example:Thermostat;1");
    assert_eq!(delete(&served, path).await.error_code(), 400_003, "the other one needs it");
    assert_eq!(delete(&served, "/models/dtmi:example:Room;1").await.status, 204);
    assert_eq!(delete(&served, path).await.status, 204);
    assert_eq!(get(&served, path).await.error_code(), 404_101);
    let broken = post(&served, "/models", json!({"@id": "no", "@type": "Interface"})).await;
    assert_eq!(broken.status, 400, "{}", broken.json());
}

#[tokio::test]
async fn digital_twins_are_read_patched_and_commanded() {
    let served = with_devices(&["d"]).await;
    let fresh = get(&served, "/digitaltwins/d").await;
    assert_eq!((fresh.status.as_u16(), &fresh.json()["$dtId"]), (200, &json!("d")));
    let etag = fresh.header("etag").to_owned();
    let patch = json!([{"op": "add", "path": "/target", "value": 21.5}, {"op": "add", "path": "/left", "value": {"$metadata": {}, "target": 7}}]);
    let patched = served.call_with(Method::PATCH, "/digitaltwins/d", &[("if-match", &etag)], patch.clone()).await;
    assert_eq!((patched.status.as_u16(), patched.header("location")), (202, "/digitaltwins/d"), "{}", patched.json());
    assert!(!patched.header("etag").is_empty() && patched.header("etag") != etag);
    let late = served.call_with(Method::PATCH, "/digitaltwins/d", &[("if-match", &etag)], patch).await;
    assert_eq!(late.error_code(), 412_001);
    let twin = get(&served, "/twins/d").await.json();
    assert_eq!(twin["properties"]["desired"]["left"], json!({"__t": "c", "target": 7}));
    assert_eq!(get(&served, "/digitaltwins/d").await.json()["$metadata"]["target"]["desiredValue"], 21.5);

    served.connect(1, &name("d", None)).await;
    let called = served
        .call_with(
            Method::POST,
            "/digitaltwins/d/commands/reboot?responseTimeoutInSeconds=10&connectTimeoutInSeconds=0",
            &[("x-ms-request-id", "r1")],
            json!(5),
        )
        .await;
    assert_eq!((called.status.as_u16(), called.json()), (200, json!(5)));
    assert_eq!((called.header("x-ms-command-statuscode"), called.header("x-ms-request-id")), ("200", "r1"));
    let component = post(&served, "/digitaltwins/d/components/left/commands/reboot", Value::Null).await;
    assert_eq!((component.status.as_u16(), component.json()), (200, Value::Null));
    for (method, path, body, code) in [
        (Method::GET, "/digitaltwins/unknown", Value::Null, 404_001),
        (Method::POST, "/digitaltwins/d/commands/not%20a%20name", Value::Null, 400_004),
        (Method::POST, "/digitaltwins/unknown/commands/reboot", Value::Null, 404_001),
        (Method::POST, "/digitaltwins/d/commands/reboot?responseTimeoutInSeconds=x", Value::Null, 400_004),
    ] {
        let answer = served.call(method, path, body).await;
        assert_eq!(answer.error_code(), code, "{path} {}", answer.json());
    }
    for patch in [
        json!({}),
        json!([]),
        json!([{"op": "test", "path": "/a", "value": 1}]),
        json!([{"op": "remove", "path": "/nothing"}]),
    ] {
        assert_eq!(served.call(Method::PATCH, "/digitaltwins/d", patch.clone()).await.status, 400, "{patch}");
    }
}
