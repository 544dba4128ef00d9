//! What commands send to a hub, and what they make of its answers.

use millrace_control_rest::testing::HOST;
use millrace_model::HubError;
use serde_json::{Value, json};

use super::fake::{Fake, nothing, ok, refused};
use super::{KEY, run};
use crate::OperatorError;

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn twins_are_shown_merged_and_replaced() {
    let twin = json!({"deviceId": "d#1", "version": 3, "properties": {"desired": {"a": 1}}});
    let hub = Fake::telling(vec![ok(&twin), ok(&twin), ok(&twin), ok(&twin)]).await;
    assert_eq!(parse(&hub.run(&["twin", "show", "d#1"]).await.0), twin);
    assert_eq!(hub.only().line, "GET /twins/d%231");
    hub.run(&["twin", "update", "d#1", "--module", "m", "--desired", r#"{"a":null}"#]).await;
    let asked = hub.only();
    assert_eq!(asked.line, "PATCH /twins/d%231/modules/m");
    assert_eq!(
        (asked.json(), asked.header("if-match")),
        (json!({"properties": {"desired": {"a": null}}}), Some("\"*\""))
    );
    hub.try_run(&["twin", "update", "d", "--tags", "@-", "--if-match", "AAA="], r#"{"t":{}}"#).await.unwrap();
    let asked = hub.only();
    assert_eq!((asked.json(), asked.header("if-match")), (json!({"tags": {"t": {}}}), Some("\"AAA=\"")));
    hub.run(&["twin", "replace", "d", "--desired", "{}", "--tags", "{}"]).await;
    assert_eq!(hub.only().line, "PUT /twins/d");
}

#[tokio::test]
async fn methods_bring_the_devices_answer() {
    let hub = Fake::telling(vec![ok(&json!({"status": 207, "payload": [1]})), refused(&HubError::NOT_ONLINE)]).await;
    let call = ["method", "call", "d", "t1*reboot", "--payload", "{\"delay\":5}", "--timeout", "10"];
    assert_eq!(parse(&hub.run(&call).await.0), json!({"status": 207, "payload": [1]}));
    let asked = hub.only();
    assert_eq!(asked.line, "POST /twins/d/methods");
    let expected = json!({"methodName": "t1*reboot", "payload": {"delay": 5}, "responseTimeoutInSeconds": 10,
        "connectTimeoutInSeconds": 0});
    assert_eq!(asked.json(), expected);
    let error = hub.try_run(&["method", "call", "d", "x", "--module", "m"], "").await.unwrap_err();
    assert_eq!(hub.only().line, "POST /twins/d/modules/m/methods");
    assert_eq!(error.exit_code(), 1);
    assert_eq!(
        error.to_string(),
        "the hub refused: the device is not connected (DeviceNotOnline, code 404103, status 404)"
    );
}

#[tokio::test]
async fn commands_carry_their_properties() {
    let hub = Fake::telling(vec![nothing(), nothing(), ok(&json!({"totalMessagesPurged": 3, "deviceId": "d"}))]).await;
    let (output, remark) = hub
        .run(&[
            "command",
            "send",
            "d1",
            "first",
            "--message-id",
            "m 1",
            "--ack",
            "full",
            "--property",
            "k x=v=1/&",
            "--property",
            "Level=é",
            "--content-type",
            "text/plain",
            "--expires",
            "2030-01-31T12:00:00Z",
        ])
        .await;
    assert_eq!((output.as_str(), remark.as_str()), ("", "sent to d1"));
    let asked = hub.only();
    assert_eq!(
        (asked.line.as_str(), asked.body.as_slice()),
        ("POST /devices/d1/messages/devicebound", b"first".as_slice())
    );
    for (name, value) in [
        ("iothub-messageid", "m 1"),
        ("iothub-ack", "full"),
        ("iothub-app-k%20x", "v=1/&"),
        ("iothub-app-%4cevel", "%c3%a9"),
        ("iothub-contenttype", "text/plain"),
        ("iothub-expiry", "2030-01-31T12:00:00Z"),
    ] {
        assert_eq!(asked.header(name), Some(value), "{name}");
    }
    hub.try_run(&["command", "send", "d1", "@-"], "\u{0}any bytes").await.unwrap();
    let asked = hub.only();
    assert_eq!((asked.body.as_slice(), asked.header("iothub-ack")), (b"\0any bytes".as_slice(), Some("none")));
    let (purged, _) = hub.run(&["command", "purge", "d"]).await;
    assert_eq!(
        (parse(&purged)["totalMessagesPurged"].as_u64(), hub.only().line.as_str()),
        (Some(3), "DELETE /devices/d/commands")
    );
}

#[tokio::test]
async fn feedback_is_shown_and_then_completed() {
    let record = |id: &str| json!([{"originalMessageId": id, "deviceId": "d", "statusCode": "Success"}]);
    let batch = |id| (200, vec![("etag", "\"lock/1\"")], record(id).to_string());
    let answers = vec![batch("m 1"), nothing(), batch("m2"), nothing(), nothing(), batch("m3"), nothing(), nothing()];
    let hub = Fake::telling(answers).await;
    let (output, _) = hub.run(&["command", "feedback"]).await;
    assert!(output.starts_with("m 1\td\tSuccess\t") && output.contains("\nm2\td"), "{output}");
    let (get, complete) = ("GET /messages/serviceBound/feedback", "DELETE /messages/serviceBound/feedback/lock%2F1");
    assert_eq!(hub.lines(), [get, complete, get, complete, get]);
    let (output, _) = hub.run(&["command", "feedback", "--keep", "--json"]).await;
    assert_eq!(parse(&output), record("m3"));
    assert_eq!(hub.lines(), [get, "POST /messages/serviceBound/feedback/lock%2F1/abandon"]);
    assert_eq!(hub.run(&["command", "feedback", "--json"]).await.0, "[]\n");
}

#[tokio::test]
async fn a_query_goes_from_page_to_page() {
    let page = |rows: Value, next: bool| {
        let mut headers = vec![("x-ms-item-type", "Raw")];
        headers.extend(next.then_some(("x-ms-continuation", "next")));
        (200, headers, rows.to_string())
    };
    let pages = || {
        vec![page(json!([{"n": 1, "s": "a"}]), true), page(json!([]), true), page(json!([{"n": 2, "s": "b"}]), false)]
    };
    let hub = Fake::telling([pages(), pages()].concat()).await;
    let (output, remark) = hub.run(&["query", " SELECT n, s FROM devices ", "--top", "150"]).await;
    assert_eq!((output.as_str(), remark.as_str()), ("1\ta\n2\tb\n", ""));
    let asked = hub.asked();
    let counts: Vec<_> = asked.iter().map(|asked| asked.header("x-ms-max-item-count").unwrap()).collect();
    let continued: Vec<_> = asked.iter().map(|asked| asked.header("x-ms-continuation")).collect();
    assert_eq!((counts, continued), (vec!["100"; 3], vec![None, Some("next"), Some("next")]));
    assert_eq!(
        (asked[0].line.as_str(), asked[0].json()),
        ("POST /devices/query", json!({"query": "SELECT n, s FROM devices"}))
    );
    let (output, remark) = hub.run(&["query", "SELECT * FROM devices", "--top", "1", "--json"]).await;
    assert_eq!((parse(&output), remark.as_str()), (json!([{"n": 1, "s": "a"}]), "there are more: raise --top"));
}

#[tokio::test]
async fn jobs_are_scheduled_waited_for_and_cancelled() {
    let job = |status: &str| {
        ok(&json!({"jobId": "j", "type": "scheduleUpdateTwin", "status": status, "failureReason": "why"}))
    };
    let hub = Fake::telling(vec![job("queued"), job("running"), job("completed")]).await;
    let wait = ["job", "schedule-twin", "--id", "j", "--query", "tags.a = 'b'", "--desired", "{\"x\":1}", "--wait"];
    assert!(hub.run(&wait).await.0.starts_with("j\tscheduleUpdateTwin\tcompleted\t"));
    let asked = hub.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, ["PUT /jobs/v2/j", "GET /jobs/v2/j", "GET /jobs/v2/j"]);
    let expected = json!({"jobId": "j", "type": "scheduleUpdateTwin", "queryCondition": "tags.a = 'b'",
        "maxExecutionTimeInSeconds": 3600, "updateTwin": {"properties": {"desired": {"x": 1}}, "etag": "*"}});
    assert_eq!(asked[0].json(), expected);

    let hub = Fake::telling(vec![job("queued"), job("failed")]).await;
    let method = ["job", "schedule-method", "reboot", "--start", "2020-01-31T02:00:00Z", "--wait"];
    let error = hub.try_run(&method, "").await.unwrap_err();
    assert!(
        matches!(&error, OperatorError::Job { status, reason } if status == "failed" && reason == "why"),
        "{error:?}"
    );
    let asked = hub.asked();
    assert_eq!(asked[0].json()["startTime"], "2020-01-31T02:00:00Z");
    assert_eq!(asked[0].json()["cloudToDeviceMethod"]["methodName"], "reboot");
    assert_eq!(asked[0].line, format!("PUT /jobs/v2/{}", asked[0].json()["jobId"].as_str().unwrap()));

    let hub = Fake::telling(vec![nothing(), refused(&HubError::JOB_NOT_FOUND), nothing()]).await;
    hub.run(&["job", "cancel", "a"]).await;
    hub.run(&["job", "cancel", "b"]).await;
    assert_eq!(hub.lines(), ["POST /jobs/v2/a/cancel", "POST /jobs/v2/b/cancel", "DELETE /jobs/b"]);
}

#[tokio::test]
async fn jobs_of_both_kinds_are_one_list_and_show_no_signatures() {
    let transfer = json!({"jobId": "t", "type": "export", "status": "running", "progress": 40,
        "outputBlobContainerUri": "https://b/c?sig=topsecret"});
    let scheduled = json!([{"jobId": "s", "type": "scheduleUpdateTwin", "status": "queued"}]);
    let answers = vec![ok(&scheduled), ok(&json!([transfer])), ok(&json!([transfer])), ok(&scheduled), ok(&transfer)];
    let hub = Fake::telling(answers).await;
    let (output, _) = hub.run(&["job", "list", "--json"]).await;
    assert!(!output.contains("topsecret"));
    assert_eq!(parse(&output).as_array().unwrap().len(), 2);
    assert_eq!(hub.lines(), ["GET /jobs/v2/query", "GET /jobs"]);
    assert_eq!(hub.run(&["job", "list", "--type", "import"]).await.0, "");
    assert_eq!(hub.lines(), ["GET /jobs"]);
    let kind = "scheduleUpdateTwin";
    hub.run(&["job", "list", "--type", kind, "--status", "queued"]).await;
    assert_eq!(hub.lines(), ["GET /jobs/v2/query?jobType=scheduleUpdateTwin&jobStatus=queued"]);
    let (output, _) = hub.run(&["job", "export", "https://b/c?sig=topsecret", "--exclude-keys", "--json"]).await;
    assert!(!output.contains("topsecret"));
    let asked = hub.only();
    assert_eq!(asked.line, "POST /jobs/create");
    assert_eq!(asked.json()["excludeKeysInExport"], true);
    assert_eq!(asked.json()["outputBlobContainerUri"], "https://b/c?sig=topsecret");
}

#[tokio::test]
async fn a_job_shows_what_it_did_with_each_device() {
    let rows =
        json!([{"deviceId": "d", "jobId": "it's", "status": "failed", "error": {"code": 1, "description": "off"}}]);
    let hub = Fake::telling(vec![ok(&rows)]).await;
    assert_eq!(hub.run(&["job", "show", "it's", "--devices"]).await.0, "d\t\tfailed\t\toff\n");
    assert_eq!(hub.only().json()["query"], "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'it''s'");
}

#[tokio::test]
async fn enrollments_are_made_without_showing_keys() {
    let made = json!({"registrationId": "r", "provisioningStatus": "enabled", "etag": "e1",
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}});
    let mechanism = json!({"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY}});
    let answers = vec![ok(&made), ok(&made), ok(&made), ok(&made), ok(&mechanism), ok(&json!({"type": "tpm"}))];
    let hub = Fake::telling(answers).await;
    let create = [
        "enrollment",
        "create",
        "r",
        "--desired",
        "{\"a\":1}",
        "--reprovision",
        "reset",
        "--allocation",
        "geo-latency",
    ];
    let (output, _) = hub.run(&create).await;
    assert_eq!(output, "r\tenabled\tsymmetricKey\t\t\t\n");
    let asked = hub.only();
    assert_eq!(asked.line, "PUT /enrollments/r");
    let expected = json!({"provisioningStatus": "enabled", "initialTwin": {"tags": {}, "properties": {"desired": {"a": 1}}},
        "allocationPolicy": "geoLatency", "reprovisionPolicy": {"updateHubAssignment": true, "migrateDeviceData": false},
        "registrationId": "r",
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "", "secondaryKey": ""}}});
    assert_eq!(asked.json(), expected);
    assert!(!hub.run(&["enrollment", "show", "r"]).await.0.contains(KEY));
    hub.run(&["enrollment", "disable", "r"]).await;
    let asked = hub.asked();
    assert_eq!(
        (asked[2].json()["provisioningStatus"].as_str(), asked[2].header("if-match")),
        (Some("disabled"), Some("\"e1\""))
    );
    assert_eq!(hub.run(&["enrollment", "show-keys", "r"]).await.0.trim(), KEY);
    assert_eq!(hub.only().line, "POST /enrollments/r/attestationmechanism");
    assert_eq!(hub.try_run(&["enrollment", "group", "show-keys", "g"], "").await.unwrap_err().exit_code(), 2);
    assert_eq!(hub.only().line, "POST /enrollmentGroups/g/attestationmechanism");
}

#[tokio::test]
async fn keys_of_groups_are_derived_as_published() {
    let group_key = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
    let derived = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=\n";
    let id = "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6";
    let hub =
        Fake::telling(vec![ok(&json!({"type": "symmetricKey", "symmetricKey": {"primaryKey": group_key}}))]).await;
    assert_eq!(hub.run(&["enrollment", "derive-key", id, "--group", "g"]).await.0, derived);
    let alone = run(&["enrollment", "derive-key", id, "--group-key-file", "-"], None, group_key).await.unwrap();
    assert_eq!(super::written(alone, false).0, derived);
}

#[tokio::test]
async fn groups_of_certificates_and_registrations() {
    let pages = || ok(&json!([{"registrationId": "r", "status": "assigned", "assignedHub": HOST}]));
    let hub = Fake::telling(vec![ok(&json!({"enrollmentGroupId": "g"})), ok(&json!([])), pages(), nothing()]).await;
    let create = ["enrollment", "group", "create", "g", "--x509-certificate", "-", "--disabled"];
    hub.try_run(&create, "a certificate").await.unwrap();
    let asked = hub.only();
    assert_eq!(asked.line, "PUT /enrollmentGroups/g");
    let x509 = json!({"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": "a certificate"}}}});
    assert_eq!((&asked.json()["attestation"], asked.json()["provisioningStatus"].as_str()), (&x509, Some("disabled")));
    hub.run(&["enrollment", "group", "list"]).await;
    let asked = hub.only();
    assert_eq!(
        (asked.line.as_str(), asked.json()["query"].as_str()),
        ("POST /enrollmentGroups/query", Some("SELECT * FROM enrollmentGroups"))
    );
    assert!(hub.run(&["enrollment", "registration", "list", "g"]).await.0.starts_with("r\tassigned\thub.example.net"));
    hub.run(&["enrollment", "registration", "delete", "r"]).await;
    assert_eq!(hub.lines(), ["POST /registrations/g/query", "DELETE /registrations/r"]);
}

#[tokio::test]
async fn certificates_wait_for_their_proof_unless_vouched_for() {
    let view =
        json!({"name": "c", "kind": "authority", "isVerified": false, "subject": "CN=x", "verificationCode": "C0DE"});
    let hub = Fake::telling(vec![ok(&view), ok(&view), ok(&view), ok(&view), ok(&view), nothing()]).await;
    hub.try_run(&["cert", "add", "c", "-"], "PEM").await.unwrap();
    let asked = hub.only();
    assert_eq!(
        (asked.line.as_str(), asked.json()),
        ("PUT /certificates/c", json!({"certificate": "PEM", "isVerified": false}))
    );
    assert_eq!(asked.header("if-match"), None);
    hub.try_run(&["cert", "add", "c", "-", "--verified", "--replace"], "PEM").await.unwrap();
    let asked = hub.only();
    assert_eq!((&asked.json()["isVerified"], asked.header("if-match")), (&json!(true), Some("\"*\"")));
    assert_eq!(hub.run(&["cert", "code", "c"]).await.0, "C0DE\n");
    hub.try_run(&["cert", "verify", "c", "-"], "PROOF").await.unwrap();
    hub.try_run(&["cert", "revoke", "l", "-"], "LIST").await.unwrap();
    hub.run(&["cert", "delete", "c"]).await;
    let lines = hub.lines();
    assert_eq!(lines[..2], ["POST /certificates/c/generateVerificationCode", "POST /certificates/c/verify"]);
    assert_eq!(lines[2..], ["PUT /certificates/l", "DELETE /certificates/c"]);
}

#[tokio::test]
async fn models_and_configurations() {
    let model = json!({"@id": "dtmi:a:B;1", "@type": "Interface"});
    let configuration = json!({"id": "c", "priority": 3, "targetCondition": "*"});
    let answers = vec![ok(&json!({"ids": ["dtmi:a:B;1"]})), ok(&model), ok(&configuration), nothing()];
    let hub = Fake::telling(answers).await;
    let (_, remark) = hub.try_run(&["model", "add", "-"], &json!([model]).to_string()).await.unwrap();
    let asked = hub.only();
    assert_eq!(
        (asked.line.as_str(), asked.json(), remark.as_str()),
        ("POST /models", json!([model]), "added dtmi:a:B;1")
    );
    hub.run(&["model", "show", "dtmi:a:B;1"]).await;
    assert_eq!(hub.only().line, "GET /models/dtmi%3Aa%3AB%3B1");
    let content = r#"{"deviceContent":{"properties.desired.x":1}}"#;
    let create = ["configuration", "create", "c", "--target", "*", "--content", content, "--priority", "3"];
    assert_eq!(hub.run(&create).await.0, "c\t3\t\t\t*\n");
    let asked = hub.only();
    assert_eq!((asked.line.as_str(), &asked.json()["content"]), ("PUT /configurations/c", &parse(content)));
    hub.run(&["configuration", "delete", "c"]).await;
    assert_eq!(hub.only().line, "DELETE /configurations/c");
}

#[tokio::test]
async fn without_a_hub_it_is_said_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let ask = async || {
        let arguments = ["twin", "show", "d", "--data-dir", dir.path().to_str().unwrap()];
        run(&arguments, None, "").await.unwrap_err()
    };
    assert!(ask().await.to_string().contains("millrace serve --data-dir"), "no hub has ever run there");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    crate::host_name::announce(dir.path(), HOST, closed).unwrap();
    assert!(matches!(ask().await, OperatorError::NotRunning(_)), "it has ended");
}

#[tokio::test]
async fn what_a_hub_does_not_have_is_named() {
    let missing = || (404, Vec::new(), String::new());
    let hub = Fake::telling(vec![missing(), missing()]).await;
    let error = hub.try_run(&["enrollment", "list"], "").await.unwrap_err();
    assert!(error.to_string().contains("[provisioning]"), "{error}");
    let error = hub.try_run(&["twin", "show", "d"], "").await.unwrap_err();
    assert!(error.to_string().contains("no such address"), "{error}");
}

#[tokio::test]
async fn nonsense_from_a_hub_is_an_error_and_not_a_panic() {
    let nonsense = |status, body: &str| (status, Vec::new(), body.to_owned());
    let hub =
        Fake::telling(vec![nonsense(200, "{"), nonsense(200, "7"), nonsense(502, "<html>"), nonsense(302, "")]).await;
    assert!(matches!(hub.try_run(&["twin", "show", "d"], "").await, Err(OperatorError::Answer)));
    assert!(matches!(hub.try_run(&["query", "SELECT *"], "").await, Err(OperatorError::Answer)));
    for status in [502, 302] {
        let error = hub.try_run(&["twin", "show", "d"], "").await.unwrap_err();
        assert!(matches!(error, OperatorError::Refused { status: found, code: 0, .. } if found == status), "{error:?}");
    }
}
