//! Imports and exports, with containers in memory.

use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};

use super::*;

async fn blob(served: &Served, path: &str) -> String {
    let bytes = served.containers.get(&Path::from(path)).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn put_blob(served: &Served, path: &str, text: String) {
    served.containers.put(&Path::from(path), PutPayload::from(text)).await.unwrap();
}

async fn ended(served: &Served, job: &Value) -> Value {
    let path = format!("/jobs/{}", job["jobId"].as_str().unwrap());
    served.until(&path, |job| matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled"))).await
}

#[tokio::test]
async fn what_is_exported_is_imported_elsewhere() {
    let served = with_devices(&["a", "b"]).await;
    put(&served, "/devices/a/modules/m", json!({"deviceId": "a", "moduleId": "m"})).await;
    served.call(Method::PATCH, "/twins/a", json!({"tags": {"site": "A"}, "properties": {"desired": {"x": 1}}})).await;
    let configuration = json!({"id": "c", "content": {"deviceContent": {}}, "targetCondition": "tags.none = 1"});
    put(&served, "/configurations/c", configuration).await;
    let export = json!({"type": "export", "outputBlobContainerUri": "https://hub.example.net/exports?sv=1&sig=secret", "includeConfigurations": true});
    let job = post(&served, "/jobs/create?api-version=1", export).await;
    assert_eq!(job.status, 200, "{}", job.json());
    assert!(!job.json().to_string().contains("secret"));
    let job = ended(&served, &job.json()).await;
    assert_eq!(
        (&job["status"], &job["progress"], &job["failureReason"]),
        (&json!("completed"), &json!(100), &Value::Null),
        "{job}"
    );
    let lines = blob(&served, "exports/devices.txt").await;
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.contains("a2tra2tra2tra2tra2tra2tra2s="));
    let other = serve().await;
    put_blob(&other, "imports/devices.txt", lines).await;
    put_blob(&other, "imports/configurations.txt", blob(&served, "exports/configurations.txt").await).await;
    let import = json!({"type": "import", "inputBlobContainerUri": "imports", "outputBlobContainerUri": "imports", "includeConfigurations": true});
    let job = post(&other, "/jobs/create", import).await;
    let job = ended(&other, &job.json()).await;
    assert_eq!((&job["status"], &job["failureReason"]), (&json!("completed"), &Value::Null), "{job}");
    for path in ["/twins/a", "/twins/b", "/devices/a/modules/m", "/configurations/c"] {
        assert_eq!(get(&other, path).await.status, 200, "{path}");
    }
    let (left, right) = (get(&served, "/devices/a").await.json(), get(&other, "/devices/a").await.json());
    assert_eq!(left["authentication"], right["authentication"]);
    assert_eq!(get(&other, "/twins/a").await.json()["tags"], json!({"site": "A"}));
    assert_eq!(get(&other, "/twins/a").await.json()["properties"]["desired"]["x"], 1);
    assert!(other.containers.head(&Path::from("imports/importErrors.log")).await.is_err(), "nothing failed");
    assert_eq!(get(&other, "/jobs").await.json()[0]["type"], "import");
}

#[tokio::test]
async fn keys_stay_at_home_if_asked_to() {
    let served = with_devices(&["a"]).await;
    let export = json!({"type": "export", "outputBlobContainerUri": "exports", "outputBlobName": "sub/d.txt", "excludeKeysInExport": true});
    let job = post(&served, "/jobs/create", export).await;
    assert_eq!(ended(&served, &job.json()).await["status"], "completed");
    let lines = blob(&served, "exports/sub/d.txt").await;
    assert!(!lines.contains("a2tra2tr") && lines.contains(r#""primaryKey":null"#), "{lines}");
}

#[tokio::test]
async fn an_import_does_what_it_can_and_logs_the_rest() {
    let served = with_devices(&["old", "gone"]).await;
    let mut lines = vec![
        r#"{"id":"old","importMode":"create"}"#.to_owned(),
        r#"{"id":"old","importMode":"update","status":"disabled"}"#.to_owned(),
        r#"{"id":"gone","importMode":"delete"}"#.to_owned(),
        "not json".to_owned(),
        r#"{"id":"a/b"}"#.to_owned(),
        String::new(),
        format!(r#"{{"id":"long","tags":{{"x":"{}"}}}}"#, "y".repeat(300_000)),
    ];
    lines.extend(
        (0..900).map(|number| format!(r#"{{"id":"n{number:04}","importMode":"create","tags":{{"n":{number}}}}}"#)),
    );
    put_blob(&served, "imports/devices.txt", lines.join("\n")).await;
    let import = json!({"type": "import", "inputBlobContainerUri": "imports", "outputBlobContainerUri": "outputs"});
    let job = post(&served, "/jobs/create", import).await;
    assert_eq!(ended(&served, &job.json()).await["status"], "completed");
    let log = blob(&served, "outputs/importErrors.log").await;
    let mut codes: Vec<_> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["errorCode"].as_u64().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [400_004, 400_006, 409_001, 413_001], "{log}");
    assert_eq!(get(&served, "/devices/old").await.json()["status"], "disabled");
    assert_eq!(get(&served, "/devices/gone").await.status, 404);
    assert_eq!(get(&served, "/statistics/devices").await.json()["totalDeviceCount"], 901);
    assert_eq!(get(&served, "/twins/n0899").await.json()["tags"]["n"], 899);
}

#[tokio::test]
async fn one_at_a_time_and_nothing_outside() {
    let served = serve().await;
    for (body, code) in [
        (json!({}), 400_004),
        (json!({"type": "export"}), 400_004),
        (json!({"type": "export", "outputBlobContainerUri": "https://10.0.0.1/container"}), 400_008),
        (json!({"type": "export", "outputBlobContainerUri": "file:///etc"}), 400_008),
        (json!({"type": "export", "outputBlobContainerUri": "../up"}), 400_008),
        (json!({"type": "export", "outputBlobContainerUri": "exports", "outputBlobName": "../../x"}), 400_004),
    ] {
        let answer = post(&served, "/jobs/create", body.clone()).await;
        assert_eq!(answer.error_code(), code, "{body} {}", answer.json());
    }
    let missing = json!({"type": "import", "inputBlobContainerUri": "nothing", "outputBlobContainerUri": "nothing"});
    let job = post(&served, "/jobs/create", missing).await.json();
    let job = ended(&served, &job).await;
    assert_eq!(
        (&job["status"], &job["failureReason"]),
        (&json!("failed"), &json!("the input blob cannot be read: it is not there"))
    );
    assert_eq!(delete(&served, &format!("/jobs/{}", job["jobId"].as_str().unwrap())).await.error_code(), 400_003);
    assert_eq!(get(&served, "/jobs/unknown").await.error_code(), 404_002);
    assert_eq!(delete(&served, "/jobs/a%2Fb").await.error_code(), 404_002);
    assert_eq!(post(&served, "/jobs/other", json!({})).await.error_code(), 405_000);
    served.state.jobs.shutdown().await;
    let export = json!({"type": "export", "outputBlobContainerUri": "exports"});
    let first = post(&served, "/jobs/create", export.clone()).await;
    assert_eq!(first.json()["status"], "enqueued");
    let second = post(&served, "/jobs/create", export.clone()).await;
    assert_eq!((second.status.as_u16(), second.error_code()), (403, 403_003));
    let served = served.restarted().await;
    assert_eq!(ended(&served, &first.json()).await["status"], "completed", "it goes on after a restart");
    let third = post(&served, "/jobs/create", export).await.json();
    let path = format!("/jobs/{}", third["jobId"].as_str().unwrap());
    let cancelled = delete(&served, &path).await;
    assert!(cancelled.status == 204 || cancelled.error_code() == 400_003, "cancelled, or done already");
}
