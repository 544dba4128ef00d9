//! Automatic configurations.

use super::*;

fn configuration(id: &str) -> Value {
    json!({"id": id, "schemaVersion": "1.0", "labels": {"a": "b"}, "priority": 10, "targetCondition": "tags.site = 'A'",
        "content": {"deviceContent": {"properties.desired.x": 1}},
        "metrics": {"queries": {"hot": "SELECT deviceId FROM devices WHERE tags.hot = true"}, "results": {}}})
}

async fn tag(served: &Served, id: &str, tags: Value) {
    assert_eq!(served.call(Method::PATCH, &format!("/twins/{id}"), json!({ "tags": tags })).await.status, 200);
}

#[tokio::test]
async fn configurations_are_applied_counted_and_taken_back() {
    let served = with_devices(&["a", "b", "c"]).await;
    tag(&served, "a", json!({"site": "A", "hot": true})).await;
    tag(&served, "b", json!({"site": "A"})).await;
    let made = put(&served, "/configurations/c1", configuration("c1")).await;
    assert_eq!(made.status, 200, "{}", made.json());
    let etag = made.header("etag").to_owned();
    assert_eq!(put(&served, "/configurations/c1", configuration("c1")).await.error_code(), 409_401);
    let twin = served.until("/twins/a", |twin| twin["configurations"]["c1"]["status"] == "Applied").await;
    assert_eq!(twin["properties"]["desired"]["x"], 1);
    served.state.jobs.evaluated().await;
    let shown =
        served.until("/configurations/c1", |shown| shown["systemMetrics"]["results"]["appliedCount"] == 2).await;
    assert_eq!(shown["metrics"]["results"], json!({"hot": 1}));
    assert!(get(&served, "/twins/c").await.json().get("configurations").is_none());

    let mut higher = configuration("c2");
    higher["priority"] = json!(20);
    higher["content"]["deviceContent"]["properties.desired.x"] = json!(2);
    put(&served, "/configurations/c2", higher).await;
    let twin = served.until("/twins/b", |twin| twin["configurations"]["c2"]["status"] == "Applied").await;
    assert_eq!(
        (&twin["properties"]["desired"]["x"], &twin["configurations"]["c1"]["status"]),
        (&json!(2), &json!("Targeted"))
    );
    assert_eq!(get(&served, "/configurations?top=1").await.json().as_array().unwrap().len(), 1);

    let stale = served.call_with(Method::DELETE, "/configurations/c2", &[("if-match", &etag)], Value::Null).await;
    assert_eq!(stale.error_code(), 412_001);
    for id in ["c1", "c2"] {
        assert_eq!(
            served
                .call_with(Method::DELETE, &format!("/configurations/{id}"), &[("if-match", "\"*\"")], Value::Null)
                .await
                .status,
            204
        );
    }
    let twin = served.until("/twins/b", |twin| twin.get("configurations").is_none()).await;
    assert_eq!(twin["properties"]["desired"]["x"], 2, "what was applied stays");
    assert_eq!(get(&served, "/configurations/c1").await.error_code(), 404_402);
}

#[tokio::test]
async fn new_devices_follow_soon() {
    let served = serve().await;
    let mut all = configuration("all");
    all["targetCondition"] = json!("*");
    put(&served, "/configurations/all", all).await;
    served.state.jobs.evaluated().await;
    put(&served, "/devices/late", device("late")).await;
    served.until("/twins/late", |twin| twin["properties"]["desired"]["x"] == 1).await;
}

#[tokio::test]
async fn deployments_make_and_fill_modules() {
    let served = serve().await;
    put(&served, "/devices/edge", json!({"deviceId": "edge", "capabilities": {"iotEdge": true}})).await;
    let content = json!({"modulesContent": {"$edgeAgent": {"properties.desired": {"modules": {"m": 1}}}, "m": {"properties.desired.level": 3}}});
    let body =
        json!({"id": "dep", "content": content, "targetCondition": "capabilities.iotEdge = true", "priority": 1});
    assert_eq!(put(&served, "/configurations/dep", body).await.status, 200);
    let module = served.until("/twins/edge/modules/m", |twin| twin["properties"]["desired"]["level"] == 3).await;
    assert_eq!(module["moduleId"], "m");
    assert_eq!(get(&served, "/devices/edge/modules/m").await.json()["managedBy"], "iotEdge");
    served.state.jobs.evaluated().await;
    let counts = get(&served, "/configurations/dep").await.json()["systemMetrics"]["results"].clone();
    assert_eq!(
        counts,
        json!({"targetedCount": 1, "appliedCount": 1, "reportedSuccessfulCount": 0, "reportedFailedCount": 0})
    );
    let modules = json!({"id": "mods", "content": {"moduleContent": {"properties.desired.y": 1}}, "targetCondition": "FROM devices.modules WHERE moduleId = 'm'"});
    put(&served, "/configurations/mods", modules).await;
    served.until("/twins/edge/modules/m", |twin| twin["properties"]["desired"]["y"] == 1).await;
}

#[tokio::test]
async fn a_content_is_applied_to_one_device() {
    let served = with_devices(&["d"]).await;
    let content = json!({"deviceContent": {"properties.desired.a": {"b": 1}}, "modulesContent": {"m": {"properties.desired": {"c": 2}}}});
    let path = "/devices/d/applyConfigurationContent";
    let applied = post(&served, path, content.clone()).await;
    assert_eq!(applied.status, 204, "{}", applied.json());
    assert_eq!(get(&served, "/twins/d").await.json()["properties"]["desired"]["a"], json!({"b": 1}));
    assert_eq!(get(&served, "/twins/d/modules/m").await.json()["properties"]["desired"]["c"], 2);
    assert_eq!(post(&served, "/devices/unknown/applyConfigurationContent", content).await.error_code(), 404_001);
    assert_eq!(post(&served, path, json!({"deviceContent": {"tags.x": 1}})).await.error_code(), 400_004);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let served = serve().await;
    let change = |member: &str, value: Value| {
        let mut body = configuration("c1");
        body[member] = value;
        body
    };
    for (path, body, code) in [
        ("/configurations/c1", change("id", json!("other")), 400_004),
        ("/configurations/c1", change("targetCondition", json!("tags.site = ")), 400_004),
        ("/configurations/c1", change("priority", json!("x")), 400_004),
        ("/configurations/c1", change("content", json!({"deviceContent": {"properties.reported.x": 1}})), 400_004),
        ("/configurations/UPPER", configuration("UPPER"), 400_004),
        ("/configurations/a%2Fb", configuration("a/b"), 400_004),
        ("/configurations/c1", json!([]), 400_006),
        ("/configurations/c1", json!({"x": "y".repeat(2_000_000)}), 413_001),
    ] {
        let answer = put(&served, path, body).await;
        assert_eq!(answer.error_code(), code, "{path} {}", answer.json());
    }
    let missing = served.call_with(Method::PUT, "/configurations/c1", &[("if-match", "*")], configuration("c1")).await;
    assert_eq!(missing.error_code(), 404_402);
    let test = json!({"targetCondition": "tags.x = 1", "customMetricQueries": {"good": "SELECT * FROM devices", "bad": "SELECT"}});
    let tested = post(&served, "/configurations/testQueries", test).await.json();
    assert_eq!(tested["targetConditionError"], Value::Null);
    assert!(
        tested["customMetricQueryErrors"].get("good").is_none() && tested["customMetricQueryErrors"]["bad"].is_string()
    );
    let tested = post(&served, "/configurations/testQueries", json!({"targetCondition": "("})).await.json();
    assert!(tested["targetConditionError"].as_str().unwrap().starts_with("line 1"));
    assert_eq!(post(&served, "/configurations/other", json!({})).await.error_code(), 405_000);
}
