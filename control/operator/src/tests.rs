//! The commands, on a data directory and through a hub: the same checks for both.

use clap::{CommandFactory, Parser};
use millrace_protocols_identity::connection_string::Credential;

use super::*;
use millrace_control::policies::OWNER;
use millrace_control_rest::tests::{HOST, Served, serve};
use millrace_control_store::store::{SqliteStore, Store};

const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

#[derive(Debug, Parser)]
enum Cli {
    #[command(subcommand)]
    Device(DeviceCommand),
    #[command(subcommand)]
    Policy(PolicyCommand),
}

/// Where commands go: arguments to add, and the environment's connection string.
struct Place {
    arguments: Vec<String>,
    service: Option<String>,
    host_name: &'static str,
    _dir: tempfile::TempDir,
    _served: Option<Served>,
}

impl Place {
    fn local() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let arguments = vec!["--data-dir".to_owned(), dir.path().join("data").to_str().unwrap().to_owned()];
        Self { arguments, service: None, host_name: "localhost", _dir: dir, _served: None }
    }

    async fn hub() -> Self {
        let served = serve().await;
        let key = served.policies.find(OWNER).unwrap().keys[1].clone();
        let service = ConnectionString::for_policy(HOST, OWNER, key).expose().to_string();
        let arguments = vec!["--hub".to_owned(), served.url.clone()];
        let dir = tempfile::tempdir().unwrap();
        Self { arguments, service: Some(service), host_name: HOST, _dir: dir, _served: Some(served) }
    }

    async fn device(&self, arguments: &[&str]) -> Result<Outcome, OperatorError> {
        self.device_with_input(arguments, "").await
    }

    async fn device_with_input(&self, arguments: &[&str], input: &str) -> Result<Outcome, OperatorError> {
        let all = ["millrace", "device"].iter().chain(arguments).map(|text| (*text).to_owned());
        let Cli::Device(command) = Cli::try_parse_from(all.chain(self.arguments.clone())).unwrap() else { panic!() };
        let context = Context { service: self.service.as_deref(), input: &mut input.as_bytes(), progress: &mut |_| {} };
        run(command, context).await
    }

    async fn connection_string(&self, arguments: &[&str]) -> ConnectionString {
        let outcome = self.device(arguments).await.unwrap();
        let Outcome::ConnectionString(text) = outcome else { panic!("{outcome:?}") };
        ConnectionString::parse(&text.expose()).unwrap()
    }

    async fn shown(&self, arguments: &[&str]) -> Device {
        let outcome = self.device(arguments).await.unwrap();
        let Outcome::Device(device) = outcome else { panic!("{outcome:?}") };
        device
    }

    async fn listed(&self, arguments: &[&str]) -> (Vec<String>, bool) {
        let outcome = self.device(arguments).await.unwrap();
        let Outcome::Devices { devices, more } = outcome else { panic!("{outcome:?}") };
        (devices.into_iter().map(|device| device.device_id).collect(), more)
    }

    async fn imported(&self, arguments: &[&str], input: &str) -> ImportReport {
        let outcome = self.device_with_input(arguments, input).await.unwrap();
        let Outcome::Imported(report) = outcome else { panic!("{outcome:?}") };
        report
    }
}

async fn everywhere(check: impl AsyncFn(&Place)) {
    check(&Place::local()).await;
    check(&Place::hub().await).await;
}

fn is_not_found(result: Result<Outcome, OperatorError>) -> bool {
    let error = result.unwrap_err();
    error.exit_code() == 1 && millrace_model::Classify::kind(&error) == millrace_model::Kind::NotFound
}

#[test]
fn arguments_are_well_formed() {
    Cli::command().debug_assert();
    let parse = |text: &str| Cli::try_parse_from(text.split(' '));
    assert!(parse("millrace device create d").is_err(), "a registry must be named");
    assert!(parse("millrace device create d --data-dir x --hub http://h").is_err());
    let secret = parse("millrace device create d --key c2VjcmV0 --hub http://h --service c2VjcmV0").unwrap();
    assert!(!format!("{secret:?}").contains("c2VjcmV0"));
}

#[tokio::test]
async fn create_gives_a_connection_string_that_devices_can_use() {
    everywhere(async |place| {
        let made = place.connection_string(&["create", "d1"]).await;
        assert_eq!((made.host_name.as_str(), made.device_id.as_deref()), (place.host_name, Some("d1")));
        assert_eq!(made.key().unwrap().as_bytes().len(), 32);
        let again = place.connection_string(&["show", "d1", "--connection-string"]).await;
        assert_eq!(again.expose().as_str(), made.expose().as_str());

        let given = place.connection_string(&["create", "d#2,%", "--key", KEY, "--host-name", "h.example"]).await;
        let expected = format!("HostName=h.example;DeviceId=d#2,%;SharedAccessKey={KEY}");
        assert_eq!(given.expose().as_str(), expected);
        let module = place.connection_string(&["create", "d1", "--module", "m1", "--key", KEY]).await;
        assert_eq!(module.module_id.as_deref(), Some("m1"));
        assert!(matches!(module.credential, Credential::Key(_)));

        let exists = place.device(&["create", "d1"]).await.unwrap_err();
        assert_eq!(millrace_model::Classify::kind(&exists), millrace_model::Kind::Conflict);
        assert_eq!(place.device(&["create", "d3", "--key", "short"]).await.unwrap_err().exit_code(), 2);
        assert_eq!(place.device(&["create", "../etc"]).await.unwrap_err().exit_code(), 2);
        assert!(is_not_found(place.device(&["create", "x", "--module", "m"]).await));
    })
    .await;
}

#[tokio::test]
async fn devices_are_shown_disabled_enabled_and_deleted() {
    everywhere(async |place| {
        place.connection_string(&["create", "d1", "--key", KEY]).await;
        let device = place.shown(&["show", "d1"]).await;
        assert!(device.enabled);
        assert_eq!(device.authentication, "sas");
        for text in [format!("{device:?}"), serde_json::to_string(&device).unwrap()] {
            assert!(!text.contains("a2tr"), "{text}");
        }
        let disabled = place.shown(&["disable", "d1", "--reason", "it's lost"]).await;
        assert_eq!((disabled.enabled, disabled.status_reason.as_deref()), (false, Some("it's lost")));
        assert_eq!(disabled.generation_id, device.generation_id);
        let enabled = place.shown(&["enable", "d1"]).await;
        assert_eq!((enabled.enabled, enabled.status_reason), (true, None));
        assert_eq!(
            place.connection_string(&["show", "d1", "--connection-string"]).await.key().unwrap().to_base64().as_str(),
            KEY
        );
        assert!(matches!(place.device(&["delete", "d1"]).await.unwrap(), Outcome::Deleted(_)));
        for command in ["show", "disable", "enable", "delete"] {
            assert!(is_not_found(place.device(&[command, "d1"]).await), "{command}");
        }
    })
    .await;
}

#[tokio::test]
async fn lists_go_on_where_they_were_left() {
    everywhere(async |place| {
        let csv: String = (0..1_203).map(|number| format!("d{number:04},{KEY}\n")).collect();
        assert_eq!(place.imported(&["import", "-"], &csv).await.created, 1_203);
        let (ids, more) = place.listed(&["list"]).await;
        assert_eq!((ids.len(), ids[999].as_str(), more), (1_000, "d0999", true));
        let (ids, more) = place.listed(&["list", "--top", "2000"]).await;
        assert_eq!((ids.len(), more), (1_203, false));
        let (ids, more) = place.listed(&["list", "--after", "d1200", "--top", "2"]).await;
        assert_eq!((ids, more), (vec!["d1201".to_owned(), "d1202".to_owned()], false));
    })
    .await;
}

#[tokio::test]
async fn bad_lines_are_named_and_stop_the_import_unless_skipped() {
    everywhere(async |place| {
        let csv = format!("id,key\na,{KEY}\nb c,{KEY}\nd,short\ne,{KEY}\na,{KEY}\n");
        let report = place.imported(&["import", "-"], &csv).await;
        assert_eq!(report.created, 0);
        assert!(
            report
                .bad_lines
                .starts_with(&[BadLine { line: 3, problem: Problem::Id }, BadLine { line: 4, problem: Problem::Key },])
        );
        if place.service.is_none() {
            assert_eq!(report.bad, 3, "the second a is found in the same pass");
        }
        let report = place.imported(&["import", "-", "--skip-bad"], &csv).await;
        assert_eq!((report.created, report.bad), (2, 3));
        assert_eq!(report.bad_lines[2], BadLine { line: 6, problem: Problem::Exists });
        let report = place.imported(&["import", "-", "--skip-bad"], &csv).await;
        assert_eq!((report.created, report.bad), (0, 5));
        assert_eq!(place.listed(&["list"]).await.0, ["a", "e"]);
    })
    .await;
}

#[tokio::test]
async fn the_list_of_bad_lines_has_an_end_and_their_count_has_not() {
    let place = Place::local();
    let report = place.imported(&["import", "-"], &"bad\n".repeat(5_000)).await;
    assert_eq!((report.bad, report.bad_lines.len(), report.bad_lines[99].line), (5_000, 100, 100));
}

#[tokio::test]
async fn a_hundred_thousand_devices_come_from_a_file_in_one_transaction() {
    let place = Place::local();
    let csv: String = (0..100_000).map(|number| format!("device-{number:06},{KEY}\n")).collect();
    let file = place._dir.path().join("devices.csv");
    std::fs::write(&file, csv).unwrap();
    let begun = std::time::Instant::now();
    let report = place.imported(&["import", file.to_str().unwrap()], "").await;
    println!("100,000 devices imported in {:?}", begun.elapsed());
    assert_eq!((report.created, report.bad), (100_000, 0));
    let store = SqliteStore::open(std::path::Path::new(&place.arguments[1])).await.unwrap();
    assert_eq!(Store::count(&store).await.unwrap().total, 100_000);
}

#[tokio::test]
async fn what_does_not_go_together_is_wrong_usage() {
    let hub = Place::hub().await;
    let no_key = Place { service: None, ..Place::hub().await };
    assert_eq!(no_key.device(&["list"]).await.unwrap_err().exit_code(), 2);
    let garbage = Place { service: Some("c2VjcmV0".to_owned()), ..Place::hub().await };
    let error = garbage.device(&["list"]).await.unwrap_err();
    assert!(error.exit_code() == 2 && !format!("{error:?}{error}").contains("c2VjcmV0"));
    assert_eq!(hub.device(&["show", ".."]).await.unwrap_err().exit_code(), 2);
    let mixed = Place::local().device(&["list", "--service", "x"]).await.unwrap_err();
    assert_eq!(mixed.exit_code(), 2);
    let missing = Place::local().device(&["list"]).await.unwrap_err();
    assert!(matches!(missing, OperatorError::NoRegistry(_)), "{missing:?}");
    let missing = Place::local().device(&["import", "/nonexistent.csv"]).await.unwrap_err();
    assert!(matches!(missing, OperatorError::File { .. }), "{missing:?}");
    let wrong = ConnectionString::for_policy(HOST, OWNER, Key::from_bytes(&[1; 32]).unwrap()).expose().to_string();
    let refused = Place { service: Some(wrong), ..Place::hub().await }.device(&["list"]).await.unwrap_err();
    assert!(matches!(refused, OperatorError::Refused { status: 401, code: 401_002, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_policys_connection_string_opens_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    host_name::save(dir.path(), "hub.example").unwrap();
    let command = |name: &str| PolicyCommand::ConnectionString {
        name: name.to_owned(),
        data_dir: dir.path().to_owned(),
        host_name: None,
    };
    let Outcome::ConnectionString(text) = run_policy(&command("service")).unwrap() else { panic!() };
    assert!(text.expose().starts_with("HostName=hub.example;SharedAccessKeyName=service;SharedAccessKey="));
    assert_eq!(run_policy(&command("nobody")).unwrap_err().exit_code(), 2);
}
