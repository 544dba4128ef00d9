//! Least privilege, operation by operation; scopes; tokens that are not good.

use super::*;

/// What registryRead, registryReadWrite, service and device are let to.
const READ: [bool; 4] = [true, true, false, false];
const WRITE: [bool; 4] = [false, true, false, false];
const SERVICE: [bool; 4] = [false, false, true, false];
const POLICIES: [&str; 4] = ["registryRead", "registryReadWrite", "service", "device"];

/// All operations, with who of those may.
const OPERATIONS: [(&str, [bool; 4]); 56] = [
    ("GET /devices", READ),
    ("POST /devices", WRITE),
    ("GET /devices/d", READ),
    ("PUT /devices/d", WRITE),
    ("DELETE /devices/x", WRITE),
    ("POST /devices/query", SERVICE),
    ("GET /devices/d/modules", READ),
    ("GET /devices/d/modules/m", READ),
    ("PUT /devices/d/modules/m", WRITE),
    ("DELETE /devices/d/modules/m", WRITE),
    ("POST /devices/d/applyConfigurationContent", WRITE),
    ("DELETE /devices/d/commands", SERVICE),
    ("POST /devices/d/messages/devicebound", SERVICE),
    ("GET /statistics/devices", READ),
    ("GET /statistics/service", READ),
    ("GET /twins/d", SERVICE),
    ("PATCH /twins/d", SERVICE),
    ("PUT /twins/d", SERVICE),
    ("GET /twins/d/modules/m", SERVICE),
    ("PATCH /twins/d/modules/m", SERVICE),
    ("PUT /twins/d/modules/m", SERVICE),
    ("POST /twins/d/methods", SERVICE),
    ("POST /twins/d/modules/m/methods", SERVICE),
    ("GET /digitaltwins/d", SERVICE),
    ("PATCH /digitaltwins/d", SERVICE),
    ("POST /digitaltwins/d/commands/c", SERVICE),
    ("POST /digitaltwins/d/components/x/commands/c", SERVICE),
    ("GET /messages/serviceBound/feedback", SERVICE),
    ("DELETE /messages/serviceBound/feedback/1", SERVICE),
    ("POST /messages/serviceBound/feedback/1/abandon", SERVICE),
    ("GET /messages/serviceBound/filenotifications", SERVICE),
    ("DELETE /messages/serviceBound/filenotifications/1", SERVICE),
    ("POST /messages/serviceBound/filenotifications/1/abandon", SERVICE),
    ("GET /jobs", READ),
    ("POST /jobs/create", WRITE),
    ("GET /jobs/x", READ),
    ("DELETE /jobs/x", WRITE),
    ("PUT /jobs/v2/x", SERVICE),
    ("GET /jobs/v2/x", SERVICE),
    ("GET /jobs/v2/query", SERVICE),
    ("POST /jobs/v2/x/cancel", SERVICE),
    ("GET /configurations", READ),
    ("GET /configurations/x", READ),
    ("PUT /configurations/x", WRITE),
    ("DELETE /configurations/x", WRITE),
    ("POST /configurations/testQueries", READ),
    ("GET /models", SERVICE),
    ("POST /models", WRITE),
    ("GET /models/x", SERVICE),
    ("DELETE /models/x", WRITE),
    ("GET /certificates", READ),
    ("GET /certificates/x", READ),
    ("PUT /certificates/x", WRITE),
    ("DELETE /certificates/x", WRITE),
    ("POST /certificates/x/generateVerificationCode", WRITE),
    ("POST /certificates/x/verify", WRITE),
];

#[tokio::test]
async fn each_operation_needs_its_permission_and_no_other() {
    let served = with_devices(&["d"]).await;
    for (operation, permitted) in OPERATIONS {
        let (method, path) = operation.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        for (policy, is_permitted) in POLICIES.into_iter().zip(permitted) {
            let token = served.token(policy, HOST, 60);
            let answer = served.send(method.clone(), path, &[("authorization", &token)], "").await;
            assert_eq!(answer.status != 401, is_permitted, "{operation} as {policy}: {}", answer.status);
        }
        let owner = served.call(method.clone(), path, Value::Null).await;
        assert!(owner.status != 401, "{operation} as the owner");
        let anonymous = served.send(method, path, &[], "").await;
        assert_eq!((anonymous.status.as_u16(), anonymous.error_code()), (401, 401_002), "{operation}");
        assert_eq!(anonymous.header("iothub-errorcode"), "IotHubUnauthorizedAccess");
    }
    let document = served.send(Method::GET, "/openapi.json", &[], "").await;
    assert_eq!(document.status, 200, "the description is everybody's");
}

#[tokio::test]
async fn tokens_are_judged_before_anything_else() {
    let served = with_devices(&["d", "d2"]).await;
    let owner = |resource: &str, seconds| served.token("iothubowner", resource, seconds);
    let good = owner(HOST, 60);
    for (token, path, status) in [
        (good.clone(), "/devices/d", 200),
        (owner("HUB.example.net%2fdevices%2fd", 60), "/devices/d", 200),
        (owner("hub.example.net%2Fdevices%2Fd", 60), "/devices/d/modules", 200),
        (owner("hub.example.net%2Fdevices%2Fd", 60), "/devices/d2", 401),
        (owner("hub.example.net%2Fdevices%2Fd", 60), "/devices", 401),
        (owner("hub.example.net%2Fdevices%2Fd", 60), "/twins/d", 401),
        (owner("hub.example.net%2Ftwins", 60), "/twins/d", 200),
        (owner(HOST, -200), "/devices/d", 200),
        (owner(HOST, -400), "/devices/d", 401),
        (owner("other.example.net", 60), "/devices/d", 401),
        (good.replace("skn=iothubowner", "skn=service"), "/twins/d", 401),
        (good.replace("skn=iothubowner", "skn=nobody"), "/devices/d", 401),
        (good.replace("&skn=iothubowner", ""), "/devices/d", 401),
        ("Bearer x".to_owned(), "/devices/d", 401),
        (String::new(), "/devices/unknown", 401),
    ] {
        let answer = served.send(Method::GET, path, &[("authorization", &token)], "").await;
        assert_eq!(answer.status, status, "{path} {}", token.split("&sig").next().unwrap());
    }
    let large = "x".repeat(2 * crate::limits::REQUEST_BODY_BYTES_MAX);
    let answer = served.send(Method::PUT, "/devices/d", &[], large).await;
    assert_eq!(answer.status, 401, "nobody's body is not read");
}

#[tokio::test]
async fn modules_call_methods_of_their_own_device_only() {
    let served = with_devices(&["d", "e"]).await;
    let module = put(&served, "/devices/d/modules/caller", json!({"deviceId": "d", "moduleId": "caller"})).await.json();
    served.connect(1, &name("d", None)).await;
    served.connect(2, &name("e", None)).await;
    let key = module["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap();
    let key = millrace_protocols_identity::Key::from_base64(key).unwrap();
    let token = |resource: &str| millrace_protocols_identity::sas::sign(resource, &key, 4_000_000_000, None);
    let own = token("hub.example.net%2Fdevices%2Fd%2Fmodules%2Fcaller");
    let call = r#"{"methodName":"hello","payload":1}"#;
    for (path, token, caller, status) in [
        ("/twins/d/methods", &own, "d/caller", 200),
        ("/twins/e/methods", &own, "d/caller", 401),
        ("/twins/e/methods", &own, "e/caller", 401),
        ("/twins/d/methods", &own, "d/other", 401),
        ("/twins/d/methods", &own, "d", 401),
        ("/twins/d/methods", &token("hub.example.net%2Fdevices%2Fd%2Fmodules%2Fother"), "d/caller", 401),
        ("/twins/d", &own, "d/caller", 401),
    ] {
        let method = if path == "/twins/d" { Method::GET } else { Method::POST };
        let answer = served.send(method, path, &[("authorization", token), ("x-ms-edge-moduleId", caller)], call).await;
        assert_eq!(answer.status, status, "{path} {caller}");
    }
}
