//! The query language over HTTP.

use super::*;

#[tokio::test]
async fn twins_are_found_page_by_page() {
    let served = serve().await;
    for number in 0..25 {
        let id = format!("d{number:02}");
        put(&served, &format!("/devices/{id}"), device(&id)).await;
        let site = if number % 2 == 0 { "A" } else { "B" };
        served.call(Method::PATCH, &format!("/twins/{id}"), json!({"tags": {"site": site}})).await;
    }
    put(&served, "/devices/d00/modules/m", json!({"deviceId": "d00", "moduleId": "m"})).await;
    let query = json!({"query": "SELECT * FROM devices WHERE tags.site = 'A'"});
    let (mut found, mut continuation) = (Vec::new(), String::new());
    loop {
        let mut headers = vec![("x-ms-max-item-count", "5")];
        if !continuation.is_empty() {
            headers.push(("x-ms-continuation", continuation.as_str()));
        }
        let page = served.call_with(Method::POST, "/devices/query?api-version=1", &headers, query.clone()).await;
        assert_eq!((page.status.as_u16(), page.header("x-ms-item-type")), (200, "Twin"), "{}", page.json());
        found.extend(page.json().as_array().unwrap().iter().map(|row| row["deviceId"].as_str().unwrap().to_owned()));
        let next = page.header("x-ms-continuation").to_owned();
        if next.is_empty() {
            break;
        }
        continuation = next;
    }
    assert_eq!(found, (0..25).step_by(2).map(|number| format!("d{number:02}")).collect::<Vec<_>>());

    let raw = post(
        &served,
        "/devices/query",
        json!({"query": "SELECT deviceId AS id FROM devices WHERE deviceId IN ['d01', 'x']"}),
    )
    .await;
    assert_eq!((raw.header("x-ms-item-type"), raw.json()), ("Raw", json!([{"id": "d01"}])));
    let counted = json!({"query": "SELECT COUNT() AS n, tags.site FROM devices GROUP BY tags.site"});
    let counted = post(&served, "/devices/query", counted).await.json();
    assert!(counted.as_array().unwrap().contains(&json!({"n": 13, "site": "A"})), "{counted}");
    let modules = post(&served, "/devices/query", json!({"query": "SELECT * FROM devices.modules"})).await.json();
    assert_eq!((modules.as_array().unwrap().len(), &modules[0]["moduleId"]), (1, &json!("m")));
}

#[tokio::test]
async fn what_is_no_query_is_told_where_and_why() {
    let served = with_devices(&["d"]).await;
    for (body, headers) in [
        (json!({}), vec![]),
        (json!({"query": 7}), vec![]),
        (json!({"query": "SELECT * FROM devices WHERE"}), vec![]),
        (json!({"query": "SELECT * FROM devices; DROP TABLE identity; --"}), vec![]),
        (json!({"query": "SELECT * FROM sqlite_master"}), vec![]),
        (json!({"query": "SELECT * FROM enrollments"}), vec![]),
        (json!({"query": "SELECT * FROM devices"}), vec![("x-ms-max-item-count", "0")]),
        (json!({"query": "SELECT * FROM devices"}), vec![("x-ms-max-item-count", "1001")]),
        (json!({"query": "SELECT * FROM devices"}), vec![("x-ms-continuation", "forged")]),
    ] {
        let answer = served.call_with(Method::POST, "/devices/query", &headers, body.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (400, 400_004), "{body} {headers:?}");
    }
    assert_eq!(post(&served, "/devices/query", json!("x".repeat(100_000))).await.error_code(), 413_001);
    assert_eq!(get(&served, "/devices/d").await.status, 200, "nothing was dropped");
    let injected = json!({"query": "SELECT * FROM devices WHERE deviceId = 'd'' OR 1=1'"});
    let answer = post(&served, "/devices/query", injected).await;
    assert!(answer.status == 400 || answer.json() == json!([]), "a text is a text: {}", answer.json());
}

#[tokio::test]
async fn a_device_called_query_is_a_device() {
    let served = with_devices(&["query"]).await;
    assert_eq!(get(&served, "/devices/query").await.json()["deviceId"], "query");
    assert_eq!(post(&served, "/devices/other", json!({"query": "SELECT * FROM devices"})).await.error_code(), 405_000);
    assert_eq!(delete(&served, "/devices/query").await.status, 204);
}
