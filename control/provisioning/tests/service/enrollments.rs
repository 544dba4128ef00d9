//! The service API: enrollments and groups as the SDKs write, read, query and delete them.

use millrace_control::policies::PROVISIONING_OWNER;
use millrace_protocols_identity::sas;
use reqwest::{Method, StatusCode as Status};
use serde_json::{Value, json};

use crate::harness::{KEY, Service, in_an_hour, key, send, token};

fn keyed(id: &str) -> Value {
    json!({"registrationId": id, "attestation": {"type": "symmetricKey"}})
}

#[tokio::test]
async fn an_enrollment_lives_and_dies_by_its_etag() {
    let service = Service::start().await;
    let path = "/enrollments/reg1?api-version=2021-10-01";
    let (status, created) = service.call(Method::PUT, path, None, &keyed("reg1")).await;
    assert_eq!(status, Status::OK);
    let made = &created["attestation"]["symmetricKey"]["primaryKey"];
    assert_eq!(made.as_str().unwrap().len(), 88, "keys that are left out are made");
    let (status, refused) = service.call(Method::PUT, path, None, &keyed("reg1")).await;
    assert_eq!((status, &refused["errorCode"]), (Status::CONFLICT, &json!(409_202)));

    let (_, read) = service.call(Method::GET, path, None, &Value::Null).await;
    assert_eq!(read["attestation"], json!({"type": "symmetricKey"}), "keys are not shown");
    assert_eq!((&read["etag"], &read["provisioningStatus"]), (&created["etag"], &json!("enabled")));
    // What was read is written back, changed: the keys stay.
    let mut changed = read.clone();
    changed["provisioningStatus"] = json!("disabled");
    let bare = read["etag"].as_str().unwrap().to_owned();
    let (status, updated) = service.call(Method::PUT, path, Some(&bare), &changed).await;
    assert_eq!((status, &updated["attestation"]["symmetricKey"]["primaryKey"]), (Status::OK, made));
    assert_eq!(updated["createdDateTimeUtc"], created["createdDateTimeUtc"]);
    let quoted = format!("\"{bare}\"");
    let (status, _) = service.call(Method::PUT, path, Some(&quoted), &changed).await;
    assert_eq!(status, Status::PRECONDITION_FAILED, "the etag is an old one");
    let (status, _) = service.call(Method::DELETE, path, Some(&quoted), &Value::Null).await;
    assert_eq!(status, Status::PRECONDITION_FAILED);
    let (status, _) = service.call(Method::DELETE, path, Some(updated["etag"].as_str().unwrap()), &Value::Null).await;
    assert_eq!(status, Status::NO_CONTENT);
    let (status, gone) = service.call(Method::GET, path, None, &Value::Null).await;
    assert_eq!((status, &gone["errorCode"]), (Status::NOT_FOUND, &json!(404_202)));
    for etag in ["\"x\"", "*", "\"*\""] {
        let (status, _) = service.call(Method::PUT, path, Some(etag), &keyed("reg1")).await;
        assert_eq!(status, Status::NOT_FOUND, "If-Match updates, and there is nothing");
    }
}

#[tokio::test]
async fn keys_are_told_by_the_attestation_mechanism_only() {
    let service = Service::start().await;
    service.enroll_key("reg1", json!({})).await;
    for spelling in ["attestationmechanism", "attestationMechanism"] {
        let path = format!("/enrollments/reg1/{spelling}?api-version=2021-10-01");
        let (status, mechanism) = service.call(Method::POST, &path, None, &Value::Null).await;
        assert_eq!((status, &mechanism["symmetricKey"]["primaryKey"]), (Status::OK, &json!(KEY)));
    }
    let (_, rows) = service.call(Method::POST, "/enrollments/query", None, &json!({"query": "*"})).await;
    assert!(!rows.to_string().contains(KEY));
}

#[tokio::test]
async fn problems_are_told_all_together() {
    let service = Service::start().await;
    let body = json!({"registrationId": "a", "deviceId": "x y", "attestation": {"type": "x509"}, "allocationPolicy": "static"});
    let (status, refused) = service.call(Method::PUT, "/enrollments/a", None, &body).await;
    let text = refused["message"].as_str().unwrap();
    assert_eq!(status, Status::BAD_REQUEST);
    for part in ["deviceId", "attestation.x509", "iotHubHostName"] {
        assert!(text.contains(part), "{text}");
    }
    let (status, _) = service.call(Method::PUT, "/enrollments/b", None, &keyed("a")).await;
    assert_eq!(status, Status::BAD_REQUEST, "another id than in the path");
    let (status, _) = service.call(Method::PUT, "/enrollments/a", None, &json!({"registrationId": 1})).await;
    assert_eq!(status, Status::BAD_REQUEST);
}

#[tokio::test]
async fn only_a_token_of_the_service_is_good() {
    let service = Service::start().await;
    let host = service.url.trim_start_matches("http://").to_owned();
    let url = format!("{}/enrollments/a", service.url);
    let own = service.policies.find(PROVISIONING_OWNER).unwrap().keys[0].clone();
    let bad = [
        None,
        Some(sas::sign(&host, &key(), in_an_hour(), Some(PROVISIONING_OWNER))),
        Some(sas::sign(&host, &own, in_an_hour() - 10_000, Some(PROVISIONING_OWNER))),
        Some(sas::sign("elsewhere.example.net", &own, in_an_hour(), Some(PROVISIONING_OWNER))),
        Some(sas::sign(&host, &own, in_an_hour(), Some("iothubowner"))),
        Some(sas::sign(&host, &own, in_an_hour(), None)),
        Some(token("a", &own)),
    ];
    for token in bad {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let (status, _, refused) = send(&url, method, token.as_deref(), None, &keyed("a")).await;
            assert_eq!((status, &refused["errorCode"]), (Status::UNAUTHORIZED, &json!(401_002)), "{token:?}");
        }
    }
}

#[tokio::test]
async fn bulk_calls_carry_out_each_by_itself() {
    let service = Service::start().await;
    let bulk = |mode: &str, enrollments: &[Value]| json!({"mode": mode, "enrollments": enrollments});
    let all = [keyed("a"), keyed("b"), json!({"registrationId": "c"})];
    // Node puts a slash behind it.
    let (status, result) = service.call(Method::POST, "/enrollments/?api-version=x", None, &bulk("create", &all)).await;
    assert_eq!((status, &result["isSuccessful"]), (Status::OK, &json!(false)));
    assert_eq!((&result["errors"][0]["registrationId"], result["errors"].as_array().unwrap().len()), (&json!("c"), 1));
    let (_, result) = service.call(Method::POST, "/enrollments", None, &bulk("create", &all[..1])).await;
    assert_eq!(result["errors"][0]["errorCode"], 409_202);
    let (_, result) = service.call(Method::POST, "/enrollments", None, &bulk("update", &all[..2])).await;
    assert_eq!(result["isSuccessful"], true);
    let (_, result) = service.call(Method::POST, "/enrollments", None, &bulk("update", &[keyed("none")])).await;
    assert_eq!(result["errors"][0]["errorCode"], 404_202);
    let mut stale = keyed("a");
    stale["etag"] = json!("old");
    let (_, result) = service.call(Method::POST, "/enrollments", None, &bulk("updateIfMatchETag", &[stale])).await;
    assert_eq!(result["errors"][0]["errorCode"], 412_001);
    let (_, result) = service.call(Method::POST, "/enrollments", None, &bulk("delete", &all[..2])).await;
    assert_eq!(result, json!({"isSuccessful": true, "errors": []}));
    let eleven: Vec<_> = (0..11).map(|number| keyed(&format!("n{number}"))).collect();
    let (status, _) = service.call(Method::POST, "/enrollments", None, &bulk("create", &eleven)).await;
    assert_eq!(status, Status::BAD_REQUEST);
}

#[tokio::test]
async fn queries_page_through_enrollments_groups_and_registrations() {
    let service = Service::start().await;
    for number in 0..7 {
        service
            .enroll_key(
                &format!("d{number}"),
                json!({"provisioningStatus": if number == 3 { "disabled" } else { "enabled" }}),
            )
            .await;
    }
    let host = service.url.trim_start_matches("http://").to_owned();
    let owner = &service.policies.find(PROVISIONING_OWNER).unwrap().keys[0];
    let owner = sas::sign(&host, owner, in_an_hour(), Some(PROVISIONING_OWNER));
    let (mut found, mut continuation, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let query = json!({"query": "SELECT * FROM enrollments WHERE provisioningStatus = 'enabled'"});
        let request = reqwest::Client::new().post(format!("{}/enrollments/query?api-version=x", service.url));
        let request = request.header("authorization", &owner).header("x-ms-max-item-count", "2");
        let response = request.header("x-ms-continuation", &continuation).body(query.to_string()).send().await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["x-ms-item-type"]),
            (Status::OK, &"Enrollment".parse().unwrap())
        );
        let next = response.headers().get("x-ms-continuation").map(|text| text.to_str().unwrap().to_owned());
        let rows: Vec<Value> = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        found.extend(rows.iter().map(|row| row["registrationId"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = next else { break };
        continuation = next;
    }
    assert_eq!((found, pages), (["d0", "d1", "d2", "d4", "d5", "d6"].map(str::to_owned).to_vec(), 3));
    let (status, refused) =
        service.call(Method::POST, "/enrollments/query", None, &json!({"query": "DROP TABLE enrollments; --"})).await;
    assert_eq!((status, &refused["errorCode"]), (Status::BAD_REQUEST, &json!(400_004)));

    let group =
        json!({"enrollmentGroupId": "g", "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY}}});
    service.enroll(group).await;
    let (_, groups) = service.call(Method::POST, "/enrollmentGroups/query", None, &json!({"query": "*"})).await;
    assert_eq!(groups[0]["enrollmentGroupId"], "g");
    let derived = millrace_control_provisioning::derived_key::derive(&key(), "member");
    service.register("member", &token("member", &derived), &json!({})).await;
    let (status, members) = service.call(Method::POST, "/registrations/g/query", None, &json!({"query": "*"})).await;
    assert_eq!((status, &members[0]["registrationId"]), (Status::OK, &json!("member")));
    let (status, _) = service.call(Method::POST, "/registrations/none/query", None, &json!({"query": "*"})).await;
    assert_eq!(status, Status::NOT_FOUND);
    let (status, _) = service.call(Method::DELETE, "/enrollmentGroups/g", None, &Value::Null).await;
    assert_eq!(status, Status::NO_CONTENT);
    let (status, _) = service.call(Method::GET, "/registrations/member", None, &Value::Null).await;
    assert_eq!(status, Status::NOT_FOUND, "a group's registrations go with it");
}
