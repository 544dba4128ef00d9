//! Scheduled jobs.

use super::*;

fn twin_job(condition: &str) -> Value {
    json!({"jobId": "j", "type": "scheduleUpdateTwin", "updateTwin": {"etag": "*", "tags": {"done": true}},
        "queryCondition": condition, "startTime": "2024-01-01T00:00:00.000Z", "maxExecutionTimeInSeconds": 60})
}

async fn ended(served: &Served, id: &str) -> Value {
    let is_end = |job: &Value| matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled"));
    let is_settled = |job: &Value| {
        job["deviceJobStatistics"]["pendingCount"] == 0 && job["deviceJobStatistics"]["runningCount"] == 0
    };
    served.until(&format!("/jobs/v2/{id}"), |job| is_end(job) && is_settled(job)).await
}

async fn rows(served: &Served, id: &str) -> Vec<Value> {
    let query = json!({"query": format!("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{id}'")});
    let answer = post(served, "/devices/query", query).await;
    assert_eq!(answer.header("x-ms-item-type"), "DeviceJob");
    answer.json().as_array().unwrap().clone()
}

#[tokio::test]
async fn twins_are_changed_and_each_device_has_its_row() {
    let served = with_devices(&["a", "b", "c"]).await;
    let made = put(&served, "/jobs/v2/j?api-version=1", twin_job("deviceId IN ['a', 'b']")).await;
    assert_eq!(
        (made.status.as_u16(), &made.json()["jobId"], &made.json()["type"]),
        (200, &json!("j"), &json!("scheduleUpdateTwin"))
    );
    assert_eq!(put(&served, "/jobs/v2/j", twin_job("*")).await.status, 409);
    let job = ended(&served, "j").await;
    let numbers =
        json!({"deviceCount": 2, "failedCount": 0, "succeededCount": 2, "runningCount": 0, "pendingCount": 0});
    assert_eq!((&job["status"], &job["deviceJobStatistics"]), (&json!("completed"), &numbers));
    assert!(job["startTimeUtc"].is_string() && job["endTime"].is_string());
    assert_eq!(get(&served, "/twins/a").await.json()["tags"]["done"], true);
    assert_eq!(get(&served, "/twins/c").await.json()["tags"], json!({}));
    let rows = rows(&served, "j").await;
    assert_eq!((rows.len(), &rows[0]["deviceId"], &rows[0]["status"]), (2, &json!("a"), &json!("completed")));
}

#[tokio::test]
async fn methods_are_called_and_their_answers_kept() {
    let served = with_devices(&["on", "off"]).await;
    served.connect(1, &name("on", None)).await;
    let call = json!({"type": "scheduleDeviceMethod", "queryCondition": "*",
        "cloudToDeviceMethod": {"methodName": "reboot", "payload": {"x": 1}, "responseTimeoutInSeconds": 10}});
    assert_eq!(put(&served, "/jobs/v2/m", call).await.status, 200);
    let job = ended(&served, "m").await;
    let numbers = &job["deviceJobStatistics"];
    assert_eq!(
        (&job["status"], &numbers["succeededCount"], &numbers["failedCount"]),
        (&json!("completed"), &json!(1), &json!(1))
    );
    let rows = rows(&served, "m").await;
    let of = |id: &str| rows.iter().find(|row| row["deviceId"] == id).unwrap();
    assert_eq!(of("on")["outcome"]["deviceMethodResponse"], json!({"status": 200, "payload": {"x": 1}}));
    assert_eq!((&of("off")["status"], &of("off")["error"]["code"]), (&json!("failed"), &json!("404103")));
}

#[tokio::test]
async fn a_job_waits_for_its_time_and_can_be_cancelled() {
    let served = with_devices(&["a"]).await;
    let mut later = twin_job("*");
    later["startTime"] =
        json!(jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(1)).unwrap().to_string());
    assert_eq!(put(&served, "/jobs/v2/j", later).await.json()["status"], "scheduled");
    let page = get(&served, "/jobs/v2/query?jobType=scheduleUpdateTwin&jobStatus=scheduled").await;
    assert_eq!((page.header("x-ms-item-type"), &page.json()[0]["jobId"]), ("JobResponse", &json!("j")));
    assert_eq!(get(&served, "/jobs/v2/query?jobStatus=running").await.json(), json!([]));
    let cancelled = post(&served, "/jobs/v2/j/cancel", Value::Null).await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.json()["status"]), (200, &json!("cancelled")));
    assert_eq!(post(&served, "/jobs/v2/j/cancel", Value::Null).await.error_code(), 400_003);
    assert_eq!(get(&served, "/twins/a").await.json()["tags"], json!({}));
}

#[tokio::test]
async fn a_running_job_is_cancelled_and_leaves_the_rest_out() {
    let served = with_devices(&["a", "b"]).await;
    served.connect(1, &name("a", None)).await;
    let silent = json!({"type": "scheduleDeviceMethod", "queryCondition": "*",
        "cloudToDeviceMethod": {"methodName": "silent", "responseTimeoutInSeconds": 300, "connectTimeoutInSeconds": 300}});
    put(&served, "/jobs/v2/j", silent).await;
    served.until("/jobs/v2/j", |job| job["deviceJobStatistics"]["runningCount"] == 2).await;
    assert_eq!(post(&served, "/jobs/v2/j/cancel", Value::Null).await.status, 200);
    let job = ended(&served, "j").await;
    assert_eq!((&job["status"], &job["deviceJobStatistics"]["failedCount"]), (&json!("cancelled"), &json!(2)));
    assert!(rows(&served, "j").await.iter().all(|row| row["status"] == "canceled"));
}

#[tokio::test]
async fn a_job_that_takes_too_long_fails() {
    let served = with_devices(&["a"]).await;
    served.connect(1, &name("a", None)).await;
    let slow = json!({"type": "scheduleDeviceMethod", "queryCondition": "*", "maxExecutionTimeInSeconds": 1,
        "cloudToDeviceMethod": {"methodName": "silent", "responseTimeoutInSeconds": 300}});
    put(&served, "/jobs/v2/j", slow).await;
    let job = ended(&served, "j").await;
    assert_eq!((&job["status"], &job["deviceJobStatistics"]["failedCount"]), (&json!("failed"), &json!(1)));
    assert!(job["failureReason"].as_str().unwrap().contains("execution time"));
}

#[tokio::test]
async fn a_job_goes_on_after_a_restart() {
    let ids: Vec<String> = (0..40).map(|number| format!("d{number:02}")).collect();
    let served = with_devices(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for slot in 0..20 {
        served.connect(slot, &name(&ids[usize::try_from(slot).unwrap()], None)).await;
    }
    let call = json!({"type": "scheduleDeviceMethod", "queryCondition": "*",
        "cloudToDeviceMethod": {"methodName": "hello", "responseTimeoutInSeconds": 300, "connectTimeoutInSeconds": 300}});
    put(&served, "/jobs/v2/j", call).await;
    served.until("/jobs/v2/j", |job| job["deviceJobStatistics"]["succeededCount"] == 20).await;
    let served = served.restarted().await;
    let job = get(&served, "/jobs/v2/j").await.json();
    assert_eq!((&job["status"], &job["deviceJobStatistics"]["succeededCount"]), (&json!("running"), &json!(20)));
    for slot in 20..40 {
        served.connect(slot, &name(&ids[usize::try_from(slot).unwrap()], None)).await;
    }
    let job = ended(&served, "j").await;
    let numbers =
        json!({"deviceCount": 40, "failedCount": 0, "succeededCount": 40, "runningCount": 0, "pendingCount": 0});
    assert_eq!((&job["status"], &job["deviceJobStatistics"]), (&json!("completed"), &numbers));
    assert_eq!(rows(&served, "j").await.len(), 40);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused() {
    let served = serve().await;
    for (path, body, code) in [
        ("/jobs/v2/other", twin_job("*"), 400_004),
        ("/jobs/v2/j", twin_job(""), 400_004),
        ("/jobs/v2/j", twin_job("tags.x = "), 400_004),
        ("/jobs/v2/j", json!({"type": "export", "queryCondition": "*"}), 400_004),
        ("/jobs/v2/j", json!([]), 400_006),
        ("/jobs/v2/a%2Fb", twin_job("*"), 400_004),
    ] {
        let answer = put(&served, path, body).await;
        assert_eq!(answer.error_code(), code, "{path} {}", answer.json());
    }
    assert_eq!(get(&served, "/jobs/v2/unknown").await.error_code(), 404_002);
    assert_eq!(post(&served, "/jobs/v2/unknown/cancel", Value::Null).await.error_code(), 404_002);
    assert_eq!(get(&served, "/jobs/v2/query?jobStatus=strange").await.error_code(), 400_004);
    let forged = served.call_with(Method::GET, "/jobs/v2/query", &[("x-ms-continuation", "forged")], Value::Null).await;
    assert_eq!(forged.error_code(), 400_004);
}

#[tokio::test]
async fn the_list_goes_on_where_it_stopped() {
    let served = serve().await;
    for number in 0..7 {
        let mut job = twin_job("deviceId = 'nobody'");
        job["jobId"] = json!(format!("j{number}"));
        put(&served, &format!("/jobs/v2/j{number}"), job).await;
    }
    let (mut found, mut continuation) = (Vec::new(), String::new());
    for _ in 0..10 {
        let mut headers = vec![("x-ms-max-item-count", "3")];
        if !continuation.is_empty() {
            headers.push(("x-ms-continuation", continuation.as_str()));
        }
        let page = served.call_with(Method::GET, "/jobs/v2/query", &headers, Value::Null).await;
        found.extend(page.json().as_array().unwrap().iter().map(|job| job["jobId"].as_str().unwrap().to_owned()));
        let next = page.header("x-ms-continuation").to_owned();
        if next.is_empty() {
            break;
        }
        continuation = next;
    }
    assert_eq!(found, (0..7).map(|number| format!("j{number}")).collect::<Vec<_>>());
}
