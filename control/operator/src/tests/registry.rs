//! Identities, in a data directory and through a hub: the same checks for both.

use millrace_control::policies::OWNER;
use millrace_control_rest::testing::{HOST, Served, serve};
use millrace_control_store::store::{SqliteStore, Store};
use millrace_model::{Classify as _, Kind};
use millrace_protocols_identity::connection_string::Credential;
use millrace_protocols_identity::{ConnectionString, Key};
use serde_json::{Value, json};

use super::{KEY, run, written};
use crate::{BadLine, ImportReport, OperatorError, Outcome, Problem, host_name};

/// Where commands go: arguments to add, and the environment's connection string.
struct Place {
    arguments: Vec<String>,
    service: Option<String>,
    host_name: &'static str,
    dir: tempfile::TempDir,
    _served: Option<Served>,
}

impl Place {
    fn local() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let arguments = vec!["--data-dir".to_owned(), dir.path().join("data").to_str().unwrap().to_owned()];
        Self { arguments, service: None, host_name: "localhost", dir, _served: None }
    }

    async fn hub() -> Self {
        let served = serve().await.listen().await;
        let key = served.policies.find(OWNER).unwrap().keys[1].clone();
        Self {
            arguments: vec!["--hub".to_owned(), served.url.clone()],
            service: Some(ConnectionString::for_policy(HOST, OWNER, key).expose().to_string()),
            host_name: HOST,
            dir: tempfile::tempdir().unwrap(),
            _served: Some(served),
        }
    }

    async fn run(&self, arguments: &[&str]) -> Result<Vec<Outcome>, OperatorError> {
        self.run_with_input(arguments, "").await
    }

    async fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<Vec<Outcome>, OperatorError> {
        let place: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        run(&[arguments, &place].concat(), self.service.as_deref(), input).await
    }

    async fn connection_string(&self, arguments: &[&str]) -> ConnectionString {
        let (text, remarks) = written(self.run(arguments).await.unwrap(), false);
        assert_eq!((text.lines().count(), remarks.as_str()), (1, ""), "the connection string and nothing else");
        ConnectionString::parse(text.trim()).unwrap()
    }

    /// What `--json` shows.
    async fn json(&self, arguments: &[&str]) -> Value {
        let (text, _) = written(self.run(arguments).await.unwrap(), true);
        assert!(!text.contains("a2tr"), "a key is shown: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn listed(&self, arguments: &[&str]) -> (Vec<String>, bool) {
        let (text, remark) = written(self.run(arguments).await.unwrap(), false);
        let id = |line: &str| line.split('\t').next().unwrap().to_owned();
        (text.lines().map(id).collect(), remark.contains("there are more"))
    }

    async fn imported(&self, arguments: &[&str], input: &str) -> ImportReport {
        let outcomes = self.run_with_input(arguments, input).await.unwrap();
        let [Outcome::Imported(report)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        report.clone()
    }
}

async fn everywhere(check: impl AsyncFn(&Place)) {
    check(&Place::local()).await;
    check(&Place::hub().await).await;
}

fn is_not_found(result: Result<Vec<Outcome>, OperatorError>) -> bool {
    let error = result.unwrap_err();
    error.exit_code() == 1 && error.kind() == Kind::NotFound
}

#[tokio::test]
async fn create_gives_a_connection_string_that_devices_can_use() {
    everywhere(async |place| {
        let made = place.connection_string(&["device", "create", "d1"]).await;
        assert_eq!((made.host_name.as_str(), made.device_id.as_deref()), (place.host_name, Some("d1")));
        assert_eq!(made.key().unwrap().as_bytes().len(), 32);
        for again in [&["device", "connection-string", "d1"][..], &["device", "show", "d1", "--connection-string"]] {
            assert_eq!(place.connection_string(again).await.expose().as_str(), made.expose().as_str());
        }
        let create = ["device", "create", "d#2,%", "--key", KEY, "--host-name", "h.example"];
        let expected = format!("HostName=h.example;DeviceId=d#2,%;SharedAccessKey={KEY}");
        assert_eq!(place.connection_string(&create).await.expose().as_str(), expected);

        let exists = place.run(&["device", "create", "d1"]).await.unwrap_err();
        assert_eq!(exists.kind(), Kind::Conflict);
        assert_eq!(place.run(&["device", "create", "d3", "--key", "short"]).await.unwrap_err().exit_code(), 2);
        assert_eq!(place.run(&["device", "create", "../etc"]).await.unwrap_err().exit_code(), 2);
    })
    .await;
}

#[tokio::test]
async fn certificates_stand_in_for_keys() {
    everywhere(async |place| {
        let (first, second) = ("A".repeat(40), "b".repeat(64));
        let create = ["device", "create", "x1", "--x509-thumbprint", &first, "--x509-thumbprint", &second];
        let made = place.connection_string(&create).await;
        assert!(matches!(made.credential, Credential::Certificate));
        let device = place.json(&["device", "show", "x1"]).await;
        assert_eq!(
            (&device["authentication"], &device["thumbprints"]),
            (&json!("selfSigned"), &json!([first, second.to_uppercase()]))
        );
        place.connection_string(&["device", "create", "x2", "--x509-ca", "--edge-enabled"]).await;
        let device = place.json(&["device", "show", "x2"]).await;
        assert_eq!((&device["authentication"], &device["iotEdge"]), (&json!("certificateAuthority"), &json!(true)));
        assert!(device["deviceScope"].as_str().unwrap().starts_with("ms-azure-iot-edge://x2-"));
    })
    .await;
}

#[tokio::test]
async fn devices_are_shown_disabled_enabled_and_deleted() {
    everywhere(async |place| {
        place.connection_string(&["device", "create", "d1", "--key", KEY]).await;
        let device = place.json(&["device", "show", "d1"]).await;
        assert_eq!((&device["enabled"], &device["authentication"]), (&json!(true), &json!("sas")));
        let disabled = place.json(&["device", "disable", "d1", "--reason", "it's lost"]).await;
        assert_eq!((&disabled["enabled"], &disabled["statusReason"]), (&json!(false), &json!("it's lost")));
        assert_eq!(disabled["generationId"], device["generationId"]);
        let row = written(place.run(&["device", "list"]).await.unwrap(), false).0;
        assert_eq!(row, "d1\tdisabled\tsas\tit's lost\n");
        let enabled = place.json(&["device", "enable", "d1"]).await;
        assert_eq!((&enabled["enabled"], enabled.get("statusReason")), (&json!(true), None));
        let kept = place.connection_string(&["device", "connection-string", "d1"]).await;
        assert_eq!(kept.key().unwrap().to_base64().as_str(), KEY);
        assert_eq!(written(place.run(&["device", "delete", "d1"]).await.unwrap(), false).1, "deleted d1");
        for command in ["show", "disable", "enable", "delete", "connection-string"] {
            assert!(is_not_found(place.run(&["device", command, "d1"]).await), "{command}");
        }
    })
    .await;
}

#[tokio::test]
async fn modules_come_and_go_with_their_device() {
    everywhere(async |place| {
        assert!(is_not_found(place.run(&["module", "create", "d1", "m1"]).await) || place.service.is_none());
        place.connection_string(&["device", "create", "d1"]).await;
        let made = place.connection_string(&["module", "create", "d1", "m1", "--key", KEY, "--managed-by", "x"]).await;
        assert_eq!((made.device_id.as_deref(), made.module_id.as_deref()), (Some("d1"), Some("m1")));
        place.connection_string(&["module", "create", "d1", "m2"]).await;
        let again = place.connection_string(&["module", "connection-string", "d1", "m1"]).await;
        assert_eq!(again.key().unwrap().to_base64().as_str(), KEY);
        let listed = place.json(&["module", "list", "d1"]).await;
        assert_eq!(
            (&listed[0]["moduleId"], &listed[0]["managedBy"], &listed[1]["moduleId"]),
            (&json!("m1"), &json!("x"), &json!("m2"))
        );
        place.run(&["module", "delete", "d1", "m1"]).await.unwrap();
        assert!(is_not_found(place.run(&["module", "show", "d1", "m1"]).await));
        assert!(is_not_found(place.run(&["module", "list", "nobody"]).await));
        place.run(&["device", "delete", "d1"]).await.unwrap();
        assert!(is_not_found(place.run(&["module", "show", "d1", "m2"]).await));
    })
    .await;
}

#[tokio::test]
async fn lists_go_on_where_they_were_left() {
    everywhere(async |place| {
        let csv: String = (0..1_203).map(|number| format!("d{number:04},{KEY}\n")).collect();
        assert_eq!(place.imported(&["device", "import", "-"], &csv).await.created, 1_203);
        let (ids, more) = place.listed(&["device", "list"]).await;
        assert_eq!((ids.len(), ids[999].as_str(), more), (1_000, "d0999", true));
        let (ids, more) = place.listed(&["device", "list", "--top", "2000"]).await;
        assert_eq!((ids.len(), more), (1_203, false));
        let (ids, more) = place.listed(&["device", "list", "--after", "d1200", "--top", "2"]).await;
        assert_eq!((ids, more), (vec!["d1201".to_owned(), "d1202".to_owned()], false));
        assert_eq!(place.json(&["device", "list", "--top", "1100"]).await.as_array().unwrap().len(), 1_100);
    })
    .await;
}

#[tokio::test]
async fn bad_lines_are_named_and_stop_the_import_unless_skipped() {
    everywhere(async |place| {
        let csv = format!("id,key\na,{KEY}\nb c,{KEY}\nd,short\ne,{KEY}\na,{KEY}\n");
        let report = place.imported(&["device", "import", "-"], &csv).await;
        assert_eq!(report.created, 0);
        assert!(
            report
                .bad_lines
                .starts_with(&[BadLine { line: 3, problem: Problem::Id }, BadLine { line: 4, problem: Problem::Key }])
        );
        if place.service.is_none() {
            assert_eq!(report.bad, 3, "the second a is found in the same pass");
        }
        let report = place.imported(&["device", "import", "-", "--skip-bad"], &csv).await;
        assert_eq!((report.created, report.bad), (2, 3));
        assert_eq!(report.bad_lines[2], BadLine { line: 6, problem: Problem::Exists });
        let report = place.imported(&["device", "import", "-", "--skip-bad"], &csv).await;
        assert_eq!((report.created, report.bad), (0, 5));
        assert_eq!(place.listed(&["device", "list"]).await.0, ["a", "e"]);
    })
    .await;
}

#[tokio::test]
async fn the_list_of_bad_lines_has_an_end_and_their_count_has_not() {
    let place = Place::local();
    let report = place.imported(&["device", "import", "-"], &"bad\n".repeat(5_000)).await;
    assert_eq!((report.bad, report.bad_lines.len(), report.bad_lines[99].line), (5_000, 100, 100));
}

#[tokio::test]
async fn a_hundred_thousand_devices_come_from_a_file_in_one_transaction() {
    let place = Place::local();
    let csv: String = (0..100_000).map(|number| format!("device-{number:06},{KEY}\n")).collect();
    let file = place.dir.path().join("devices.csv");
    std::fs::write(&file, csv).unwrap();
    let begun = std::time::Instant::now();
    let report = place.imported(&["device", "import", file.to_str().unwrap()], "").await;
    println!("100,000 devices imported in {:?}", begun.elapsed());
    assert_eq!((report.created, report.bad), (100_000, 0));
    let store = SqliteStore::open(std::path::Path::new(&place.arguments[1])).await.unwrap();
    assert_eq!(Store::count(&store).await.unwrap().total, 100_000);
}

#[tokio::test]
async fn what_does_not_go_together_is_wrong_usage() {
    let hub = Place::hub().await;
    let list = ["device", "list"];
    let hub_arguments: Vec<_> = hub.arguments.iter().map(String::as_str).collect();
    let at_hub = [&list, hub_arguments.as_slice()].concat();
    assert_eq!(run(&at_hub, None, "").await.unwrap_err().exit_code(), 2, "no connection string");
    assert_eq!(run(&list, None, "").await.unwrap_err().exit_code(), 2, "neither a directory nor a hub");
    let error = run(&at_hub, Some("c2VjcmV0"), "").await.unwrap_err();
    assert!(error.exit_code() == 2 && !format!("{error:?}{error}").contains("c2VjcmV0"));
    assert_eq!(hub.run(&["device", "show", ".."]).await.unwrap_err().exit_code(), 2);
    assert_eq!(hub.run(&["device", "list", "--data-dir", "x"]).await.unwrap_err().exit_code(), 2);
    assert_eq!(Place::local().run(&["device", "list", "--service", "x"]).await.unwrap_err().exit_code(), 2);
    let missing = Place::local().run(&list).await.unwrap_err();
    assert!(matches!(missing, OperatorError::NoRegistry(_)), "{missing:?}");
    let missing = Place::local().run(&["device", "import", "/nonexistent.csv"]).await.unwrap_err();
    assert!(matches!(missing, OperatorError::File { .. }), "{missing:?}");
    let wrong = ConnectionString::for_policy(HOST, OWNER, Key::from_bytes(&[1; 32]).unwrap()).expose();
    let refused = run(&at_hub, Some(&wrong), "").await.unwrap_err();
    assert!(matches!(refused, OperatorError::Refused { status: 401, code: 401_002, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_connection_string_can_stand_in_a_file() {
    let hub = Place::hub().await;
    let file = hub.dir.path().join("service.txt");
    std::fs::write(&file, format!("{}\n", hub.service.as_deref().unwrap())).unwrap();
    let arguments = ["device", "list", "--service-file", file.to_str().unwrap(), "--hub", &hub.arguments[1]];
    assert_eq!(run(&arguments, None, "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_policys_connection_string_opens_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    host_name::save(dir.path(), "hub.example").unwrap();
    let ask = async |name: &str| {
        let arguments = ["policy", "connection-string", name, "--data-dir", dir.path().to_str().unwrap()];
        run(&arguments, None, "").await.map(|shown| written(shown, false).0)
    };
    for name in [OWNER, "service", "device", "registryRead", "registryReadWrite", "provisioningserviceowner"] {
        let expected = format!("HostName=hub.example;SharedAccessKeyName={name};SharedAccessKey=");
        assert!(ask(name).await.unwrap().starts_with(&expected));
    }
    assert_eq!(ask("nobody").await.unwrap_err().exit_code(), 2);
    let (listed, _) = written(run(&["policy", "list"], None, "").await.unwrap(), false);
    assert!(listed.contains("registryReadWrite\t") && listed.lines().count() == 6, "{listed}");
}
