//! The API over a loopback socket, with requests as the SDKs send them.

use millrace_protocols_identity::sas;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::*;
use millrace_control::policies::OWNER;
use millrace_control_store::clock;
use millrace_control_store::store::SqliteStore;

pub(crate) const HOST: &str = "hub.example.net";

/// A served API; ends when dropped.
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) policies: Arc<Policies>,
    task: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn serve() -> Served {
    let dir = tempfile::tempdir().unwrap();
    let policies = Arc::new(Policies::open(dir.path()).unwrap());
    let service = Service {
        store: Arc::new(SqliteStore::open(dir.path()).await.unwrap()),
        policies: Arc::clone(&policies),
        host_name: HOST.into(),
        token_skew_seconds: 300,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { axum::serve(listener, service.router()).await.unwrap() });
    Served { url, policies, task, _dir: dir }
}

impl Served {
    fn token(&self, policy: &str, resource: &str, seconds: i64) -> String {
        let expiry = u64::try_from(clock::now().unix_seconds() + seconds).unwrap();
        sas::sign(resource, &self.policies.find(policy).unwrap().keys[0], expiry, Some(policy))
    }

    async fn send(&self, method: Method, path: &str, token: &str, if_match: Option<&str>, body: &Value) -> Response {
        let mut request = Client::new().request(method, format!("{}{path}", self.url)).header("authorization", token);
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        request.send().await.unwrap()
    }

    /// As the owner.
    async fn call(&self, method: Method, path: &str, if_match: Option<&str>, body: Value) -> (StatusCode, Value) {
        let response = self.send(method, path, &self.token(OWNER, HOST, 60), if_match, &body).await;
        let status = response.status();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }
}

fn python_body(id: &str) -> Value {
    json!({"deviceId": id, "status": "enabled", "capabilities": {"iotEdge": false},
        "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "a2tra2tra2tra2tra2tra2tra2s=", "secondaryKey": null}}})
}

#[tokio::test]
async fn an_identity_lives_and_dies_as_the_sdks_expect() {
    let served = serve().await;
    let path = "/devices/d1?api-version=2021-04-12";
    let (status, created) = served.call(Method::PUT, path, None, python_body("d1")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(created["deviceId"], "d1");
    assert_eq!(created["authentication"]["symmetricKey"]["primaryKey"], "a2tra2tra2tra2tra2tra2tra2s=");
    assert_eq!(created["authentication"]["symmetricKey"]["secondaryKey"].as_str().unwrap().len(), 44);
    assert_eq!(
        created["authentication"]["x509Thumbprint"],
        json!({"primaryThumbprint": null, "secondaryThumbprint": null})
    );
    assert!(created["generationId"].as_str().unwrap().starts_with("63"));

    let (status, error) = served.call(Method::PUT, path, None, python_body("d1")).await;
    assert_eq!((status, error["errorCode"].as_u64()), (StatusCode::CONFLICT, Some(409_001)));
    assert!(error["Message"].as_str().unwrap().starts_with("ErrorCode:DeviceAlreadyExists;"));

    let etag = format!("\"{}\"", created["etag"].as_str().unwrap());
    let disable = json!({"deviceId": "d1", "status": "disabled", "statusReason": "lost"});
    let (status, disabled) = served.call(Method::PUT, path, Some(&etag), disable.clone()).await;
    assert_eq!(
        (status, &disabled["status"], &disabled["statusReason"]),
        (StatusCode::OK, &json!("disabled"), &json!("lost"))
    );
    assert_eq!(disabled["authentication"], created["authentication"], "keys that are left out stay");
    let (status, error) = served.call(Method::PUT, path, Some(&etag), disable).await;
    assert_eq!((status, error["errorCode"].as_u64()), (StatusCode::PRECONDITION_FAILED, Some(412_001)));
    let (status, _) = served.call(Method::DELETE, path, Some(&etag), Value::Null).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let (status, body) = served.call(Method::DELETE, path, Some("\"*\""), Value::Null).await;
    assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null));
    let (status, error) = served.call(Method::GET, path, None, Value::Null).await;
    assert_eq!((status, error["errorCode"].as_u64()), (StatusCode::NOT_FOUND, Some(404_001)));
}

#[tokio::test]
async fn empty_keys_are_made_and_json_comes_as_json() {
    let served = serve().await;
    let node = json!({"deviceId": "d", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "", "secondaryKey": ""}}});
    let token = served.token(OWNER, HOST, 60);
    let response = served.send(Method::PUT, "/devices/d?api-version=x", &token, None, &node).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.headers().contains_key("etag"));
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(body["authentication"]["symmetricKey"]["primaryKey"].as_str().unwrap().len(), 44);
    assert_eq!(body["status"], "enabled");
    let missing = served.send(Method::GET, "/devices/x", &token, None, &Value::Null).await;
    assert_eq!(missing.headers()["iothub-errorcode"], "DeviceNotFound");
}

#[tokio::test]
async fn modules_lists_and_statistics() {
    let served = serve().await;
    for id in ["a", "b#c%", "z"] {
        let (status, _) =
            served.call(Method::PUT, &format!("/devices/{}", sas::encode(id)), None, python_body(id)).await;
        assert_eq!(status, StatusCode::OK);
    }
    let module = json!({"deviceId": "a", "moduleId": "m", "managedBy": "x"});
    assert_eq!(served.call(Method::PUT, "/devices/a/modules/m", None, module.clone()).await.0, StatusCode::OK);
    let (status, error) = served.call(Method::PUT, "/devices/a/modules/m", None, module).await;
    assert_eq!((status, error["errorCode"].as_u64()), (StatusCode::CONFLICT, Some(409_301)));
    let (_, modules) = served.call(Method::GET, "/devices/a/modules", None, Value::Null).await;
    assert_eq!(modules[0]["moduleId"], "m");
    assert!(modules[0].get("status").is_none());
    let (_, devices) = served.call(Method::GET, "/devices/?top=2&api-version=1", None, Value::Null).await;
    assert_eq!((devices.as_array().unwrap().len(), &devices[1]["deviceId"]), (2, &json!("b#c%")));
    let (_, statistics) = served.call(Method::GET, "/statistics/devices", None, Value::Null).await;
    let expected = json!({"totalDeviceCount": 3, "enabledDeviceCount": 3, "disabledDeviceCount": 0});
    assert_eq!(statistics, expected);
    assert_eq!(served.call(Method::DELETE, "/devices/a/modules/m", None, Value::Null).await.0, StatusCode::NO_CONTENT);
    let (status, error) = served.call(Method::GET, "/devices/a/modules/m", None, Value::Null).await;
    assert_eq!((status, error["errorCode"].as_u64()), (StatusCode::NOT_FOUND, Some(404_010)));
}

#[tokio::test]
async fn permissions_are_those_of_the_policy() {
    let served = serve().await;
    served.call(Method::PUT, "/devices/d", None, python_body("d")).await;
    let nothing = || Value::Null;
    // What is asked, and what registryRead, registryReadWrite, service and device get.
    let operations = [
        (Method::GET, "/devices/d", nothing(), [200, 200, 401, 401]),
        (Method::GET, "/devices", nothing(), [200, 200, 401, 401]),
        (Method::GET, "/devices/d/modules", nothing(), [200, 200, 401, 401]),
        (Method::GET, "/statistics/devices", nothing(), [200, 200, 401, 401]),
        (Method::PUT, "/devices/n", python_body("n"), [401, 200, 401, 401]),
        (Method::POST, "/devices", json!([]), [401, 200, 401, 401]),
        (Method::DELETE, "/devices/n", nothing(), [401, 204, 401, 401]),
        (Method::GET, "/devices/n", nothing(), [404, 404, 401, 401]),
    ];
    for (method, path, body, expected) in operations {
        for (policy, status) in ["registryRead", "registryReadWrite", "service", "device"].iter().zip(expected) {
            let response = served.send(method.clone(), path, &served.token(policy, HOST, 60), None, &body).await;
            assert_eq!(response.status(), status, "{method} {path} as {policy}");
        }
    }
}

#[tokio::test]
async fn tokens_are_judged_before_anything_else() {
    let served = serve().await;
    served.call(Method::PUT, "/devices/d", None, python_body("d")).await;
    let good = served.token(OWNER, HOST, 60);
    let own_address = served.url.trim_start_matches("http://").to_owned();
    for (token, status) in [
        (good.clone(), 200),
        (served.token(OWNER, "HUB.example.net%2fdevices%2fd", 60), 200),
        (served.token(OWNER, &own_address, 60), 200),
        (served.token(OWNER, HOST, -200), 200),
        (served.token(OWNER, HOST, -400), 401),
        (served.token(OWNER, "other.example.net", 60), 401),
        (served.token(OWNER, "hub.example.net%2fdevices%2fother", 60), 401),
        (good.replace("skn=iothubowner", "skn=service"), 401),
        (good.replace("skn=iothubowner", "skn=nobody"), 401),
        (good.replace("&skn=iothubowner", ""), 401),
        ("Bearer x".to_owned(), 401),
        (String::new(), 401),
    ] {
        let response = served.send(Method::GET, "/devices/d", &token, None, &Value::Null).await;
        assert_eq!(response.status(), status, "{}", token.split("&sig").next().unwrap());
    }
    let unknown = Client::new().get(format!("{}/devices/unknown", served.url)).send().await.unwrap();
    assert_eq!(unknown.status(), 401, "nothing is learnt without a token");
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_reason() {
    let served = serve().await;
    let with_key =
        |key: &str| json!({"deviceId": "d", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": key}}});
    for (method, path, body, code) in [
        (Method::PUT, "/devices/a%2Fb", python_body("a/b"), 400_004),
        (Method::PUT, "/devices/d", python_body("e"), 400_004),
        (Method::PUT, "/devices/d", json!([1]), 400_006),
        (Method::PUT, "/devices/d", json!({"deviceId": "d", "status": "broken"}), 400_006),
        (Method::PUT, "/devices/d", with_key("short"), 400_004),
        (Method::PUT, "/devices/d", json!({"deviceId": "d", "authentication": {"type": "selfSigned"}}), 400_004),
        (Method::PUT, "/devices/d", json!({"deviceId": "d", "statusReason": "x".repeat(129)}), 400_004),
        (Method::GET, "/devices?top=0", Value::Null, 400_004),
        (Method::GET, "/devices?top=1001", Value::Null, 400_004),
        (Method::GET, "/devices?top=x", Value::Null, 400_004),
        (Method::POST, "/devices", json!({}), 400_006),
        (Method::POST, "/devices", Value::Array(vec![json!({"id": "d"}); 101]), 400_013),
        (Method::PUT, "/devices/d", json!({"deviceId": "d", "x": "y".repeat(2 * REQUEST_BODY_BYTES_MAX)}), 413_001),
        (Method::PUT, "/devices/d/modules/m", json!({"deviceId": "d", "moduleId": "m"}), 404_001),
    ] {
        let (status, error) = served.call(method, path, None, body).await;
        assert_eq!(error["errorCode"], code, "{path} {status} {error}");
    }
}

#[tokio::test]
async fn bulk_calls_do_what_they_can_and_name_the_rest() {
    let served = serve().await;
    let create = |id: &str| json!({"id": id, "importMode": "create", "authentication": {"type": "sas"}});
    let (status, result) = served
        .call(Method::POST, "/devices", None, json!([create("a"), create("b"), create("a"), create("x/y")]))
        .await;
    assert_eq!((status, &result["isSuccessful"]), (StatusCode::BAD_REQUEST, &json!(false)));
    let mut codes: Vec<_> =
        result["errors"].as_array().unwrap().iter().map(|e| (e["deviceId"].clone(), e["errorCode"].clone())).collect();
    codes.sort_by_key(|(id, _)| id.to_string());
    assert_eq!(codes, [(json!("a"), json!(409_001)), (json!("x/y"), json!(400_004))]);

    let mixed = json!([
        {"id": "a", "importMode": "update", "status": "disabled"},
        {"id": "c", "importMode": "createOrUpdate", "status": "enabled"},
        {"id": "b", "importMode": "deleteIfMatchETag", "eTag": "AAAA"},
        {"id": "a", "moduleId": "m", "importMode": "create"},
        {"id": "q", "importMode": "update"},
    ]);
    let (_, result) = served.call(Method::POST, "/devices", None, mixed).await;
    let codes: Vec<_> = result["errors"].as_array().unwrap().iter().map(|error| error["errorCode"].clone()).collect();
    assert_eq!(codes, [json!(412_001), json!(404_001)]);
    assert_eq!(served.call(Method::GET, "/devices/a", None, Value::Null).await.1["status"], "disabled");
    assert_eq!(served.call(Method::GET, "/devices/a/modules/m", None, Value::Null).await.0, StatusCode::OK);
    let (status, result) =
        served.call(Method::POST, "/devices", None, json!([{"id": "b", "importMode": "delete"}])).await;
    assert_eq!((status, &result["isSuccessful"]), (StatusCode::OK, &json!(true)));
}

#[test]
fn debug_shows_no_key() {
    let body: shape::IdentityBody = serde_json::from_value(python_body("d")).unwrap();
    assert!(!format!("{body:?}").contains("a2tr"));
}
