//! Queries over what the hub holds.

use millrace_control_query::{ItemType, Source};
use millrace_control_store::documents::{Batch, Collection, DocumentKey, Documents, Precondition, Write};
use millrace_model::IdentityName;
use serde_json::{Value, json};

use crate::harness::{Hub, record};

async fn filled(devices: usize) -> Hub {
    let hub = Hub::new().await;
    for number in 0..devices {
        let name = hub.create(&format!("d{number:02}")).await;
        let site = if number % 2 == 0 { "A" } else { "B" };
        hub.control.patch_twin(&name, None, &json!({ "tags": { "site": site } })).await.unwrap();
    }
    hub
}

async fn all(hub: &Hub, query: &str, count: usize) -> Vec<Value> {
    let (mut rows, mut continuation) = (Vec::new(), None);
    loop {
        let answer = hub.control.query(query, continuation.as_deref(), count).await.unwrap();
        assert!(answer.rows.len() <= count);
        rows.extend(answer.rows);
        match answer.continuation {
            Some(next) => continuation = Some(next),
            None => return rows,
        }
    }
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["deviceId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn pages_follow_one_another_without_gap_or_repetition() {
    let hub = filled(25).await;
    let whole = all(&hub, "SELECT * FROM devices", 100).await;
    assert_eq!(whole.len(), 25);
    assert_eq!(all(&hub, "SELECT * FROM devices", 4).await, whole);
    let some = all(&hub, "SELECT * FROM devices WHERE tags.site = 'B'", 5).await;
    assert_eq!(ids(&some), ids(&whole).into_iter().skip(1).step_by(2).collect::<Vec<_>>());
    let named = all(&hub, "SELECT * FROM devices WHERE deviceId IN ['d03', 'd01', 'nobody', 'd05']", 2).await;
    assert_eq!(ids(&named), ["d01", "d03", "d05"]);
    let counted = all(&hub, "SELECT tags.site AS site, count() AS devices FROM devices GROUP BY tags.site", 10).await;
    assert_eq!(counted.len(), 2);
}

#[tokio::test]
async fn modules_and_jobs_are_rows_too() {
    let hub = filled(3).await;
    let module = IdentityName::new("d01", Some("m")).unwrap();
    hub.control.create(&record(&module)).await.unwrap();
    let rows = all(&hub, "SELECT * FROM devices.modules", 10).await;
    assert_eq!((ids(&rows), &rows[0]["moduleId"]), (vec!["d01"], &json!("m")));
    let body = json!({ "deviceId": "d01", "jobId": "j", "status": "completed" }).to_string().into_bytes();
    let key = DocumentKey::new(Collection::DeviceJob, "j", "d01");
    let batch = Batch { identity: None, writes: vec![Write::put(key, Precondition::Any, body)] };
    let documents: &dyn Documents = &*hub.store;
    documents.apply(batch).await.unwrap();
    let answer =
        hub.control.query("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'j'", None, 10).await.unwrap();
    assert_eq!((answer.item_type, ids(&answer.rows)), (ItemType::DeviceJob, vec!["d01"]));
    let (rows, last) = hub.control.rows(Source::Devices, &["d00".into()], 10).await.unwrap();
    assert_eq!((rows.len(), last), (2, Some(vec!["d02".into()])));
}

#[tokio::test]
async fn what_is_no_query_is_refused() {
    let hub = filled(1).await;
    for query in ["", "SELECT", "SELECT * FROM users", "'; DROP TABLE identity; --", "SELECT * FROM enrollments"] {
        assert_eq!(hub.control.query(query, None, 10).await.unwrap_err().status, 400, "{query}");
    }
    let forged = hub.control.query("SELECT * FROM devices", Some("AAAA"), 10).await.unwrap_err();
    assert_eq!(forged.status, 400);
}
