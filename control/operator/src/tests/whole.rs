//! The whole way: commands on a data directory, over the hub's own API, to a store and to devices.

use std::time::{Duration, Instant};

use millrace_control_rest::testing::{Served, serve};
use millrace_control_store::registry::IdentityName;
use millrace_model::door::ToDevice;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use super::{KEY, run, written};
use crate::{OperatorError, host_name};

/// A hub with a data directory.
struct Hub {
    served: Served,
}

impl Hub {
    async fn start(devices: &[&str]) -> Self {
        let served = serve().await.listen().await;
        let admin = served.url.trim_start_matches("http://").parse().unwrap();
        host_name::announce(served.directory(), "hub.example.net", admin).unwrap();
        let hub = Self { served };
        for device in devices {
            hub.run(&["device", "create", device]).await;
        }
        assert!(hub.served.state.control.refresh().await);
        hub
    }

    async fn try_run(&self, arguments: &[&str], input: &str) -> Result<(String, String), OperatorError> {
        let place = ["--data-dir", self.served.directory().to_str().unwrap()];
        Ok(written(run(&[arguments, &place].concat(), None, input).await?, arguments.contains(&"--json")))
    }

    async fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments, "").await.unwrap().0
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments).await).unwrap()
    }

    /// Runs a command again until it shows what is wanted.
    async fn until(&self, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = self.run(arguments).await;
            if wanted(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{arguments:?} shows: {shown}");
        }
    }

    async fn connect(&self, slot: u32, device: &str) {
        self.served.connect(slot, &IdentityName::new(device, None).unwrap()).await;
    }
}

#[tokio::test]
async fn twins_and_queries() {
    let hub = Hub::start(&["a", "b#%"]).await;
    let twin = hub.json(&["twin", "update", "b#%", "--desired", r#"{"x":1}"#, "--tags", r#"{"site":"it's"}"#]).await;
    assert_eq!((&twin["deviceId"], &twin["properties"]["desired"]["x"]), (&json!("b#%"), &json!(1)));
    let stale = ["twin", "update", "b#%", "--tags", "{}", "--if-match", "AAAAAAAAAAk="];
    let error = hub.try_run(&stale, "").await.unwrap_err();
    assert!(matches!(error, OperatorError::Refused { code: 412_001, .. }), "{error:?}");
    let twin = hub.json(&["twin", "replace", "b#%", "--desired", "{}", "--tags", r#"{"site":"B"}"#]).await;
    assert_eq!((&twin["tags"], twin["properties"]["desired"].get("x")), (&json!({"site": "B"}), None));
    hub.run(&["module", "create", "a", "m"]).await;
    assert!(hub.served.state.control.refresh().await);
    let module = hub.json(&["twin", "show", "a", "--module", "m"]).await;
    assert_eq!((&module["deviceId"], &module["moduleId"]), (&json!("a"), &json!("m")));
    assert!(hub.run(&["query", "SELECT * FROM devices WHERE tags.site = 'B'"]).await.starts_with("b#%\t\tenabled\t"));
    assert_eq!(hub.run(&["query", "SELECT deviceId AS d FROM devices"]).await, "a\nb#%\n");
    let error = hub.try_run(&["query", "DROP TABLE devices"], "").await.unwrap_err();
    assert!(matches!(error, OperatorError::Refused { status: 400, .. }), "{error:?}");
}

#[tokio::test]
async fn methods_of_devices_that_are_there_and_that_are_not() {
    let hub = Hub::start(&["d"]).await;
    let call = ["method", "call", "d", "echo", "--payload", r#"{"delay":5}"#];
    let error = hub.try_run(&call, "").await.unwrap_err();
    assert!(matches!(error, OperatorError::Refused { code: 404_103, .. }), "{error:?}");
    hub.connect(1, "d").await;
    assert_eq!(hub.json(&call).await, json!({"status": 200, "payload": {"delay": 5}}));
}

#[tokio::test]
async fn commands_reach_the_device_as_they_were_written() {
    let hub = Hub::start(&["d"]).await;
    hub.run(&["command", "send", "d", "old", "--ack", "full", "--message-id", "m é"]).await;
    assert_eq!(hub.json(&["command", "purge", "d"]).await["totalMessagesPurged"], 1);
    let send =
        ["command", "send", "d", "first", "--property", "k x=v=1/&", "--property", "Level= 50% ", "--expires", "60"];
    hub.run(&send).await;
    hub.connect(1, "d").await;
    let ToDevice::Command { bag, body, .. } = hub.served.told(1, |what| matches!(what, ToDevice::Command { .. })).await
    else {
        unreachable!()
    };
    assert_eq!(body.as_ref(), b"first");
    assert!(bag.contains("k%20x=v%3D1%2F%26") && bag.contains("Level=%2050%25%20"), "{bag}");
    let feedback = hub.until(&["command", "feedback"], |shown| !shown.is_empty()).await;
    assert!(feedback.starts_with("m é\td\tPurged\t"), "{feedback}");
    assert_eq!(hub.run(&["command", "feedback"]).await, "", "it was completed");
}

#[tokio::test]
async fn jobs_change_many_twins_and_move_identities() {
    let hub = Hub::start(&["a", "b", "c"]).await;
    let twin = [
        "job",
        "schedule-twin",
        "--id",
        "j1",
        "--desired",
        r#"{"x":1}"#,
        "--query",
        "deviceId IN ['a', 'b']",
        "--wait",
    ];
    assert!(hub.run(&twin).await.starts_with("j1\tscheduleUpdateTwin\tcompleted\t\t2\t2\t0"));
    assert_eq!(hub.json(&["twin", "show", "a"]).await["properties"]["desired"]["x"], 1);
    assert_eq!(hub.json(&["twin", "show", "c"]).await["properties"]["desired"].get("x"), None);
    assert_eq!(hub.run(&["job", "show", "j1", "--devices"]).await.lines().count(), 2);
    let error = hub.try_run(&["job", "schedule-method", "x", "--id", "j1"], "").await.unwrap_err();
    assert_eq!(millrace_model::Classify::kind(&error), millrace_model::Kind::Conflict, "{error:?}");
    let export = ["job", "export", "https://hub.example.net/fleet", "--exclude-keys", "--wait"];
    let exported = hub.try_run(&export, "").await.unwrap().0;
    assert!(exported.contains("\texport\tcompleted\t"), "{exported}");
    hub.run(&["device", "delete", "c"]).await;
    let import = ["job", "import", "https://hub.example.net/fleet", "--wait"];
    assert!(hub.run(&import).await.contains("\timport\tcompleted\t"));
    assert!(hub.run(&["device", "show", "c"]).await.starts_with("c\tenabled\t"));
    assert_eq!(hub.run(&["job", "list"]).await.lines().count(), 3);
    assert!(hub.run(&["job", "wait", "j1"]).await.contains("completed"));
    let unknown = hub.try_run(&["job", "show", "nobody"], "").await.unwrap_err();
    assert!(matches!(unknown, OperatorError::Refused { status: 404, .. }), "{unknown:?}");
}

#[tokio::test]
async fn a_job_that_waits_for_its_time_is_cancelled() {
    let hub = Hub::start(&["d"]).await;
    let start = jiff::Timestamp::from_second(millrace_control_store::clock::now().unix_seconds() + 3_600).unwrap();
    let job = ["job", "schedule-method", "reboot", "--id", "later", "--start", &start.to_string()];
    assert!(hub.run(&job).await.starts_with("later\tscheduleDeviceMethod\t"));
    hub.run(&["job", "cancel", "later"]).await;
    let error = hub.try_run(&["job", "wait", "later"], "").await.unwrap_err();
    assert!(matches!(&error, OperatorError::Job { status, .. } if status == "cancelled"), "{error:?}");
}

#[tokio::test]
async fn configurations_reach_the_twins_that_they_are_for() {
    let hub = Hub::start(&["a", "b"]).await;
    hub.run(&["twin", "update", "a", "--tags", r#"{"site":"A"}"#]).await;
    let content = r#"{"deviceContent":{"properties.desired.interval":60}}"#;
    let create =
        ["configuration", "create", "slow", "--target", "tags.site = 'A'", "--content", content, "--priority", "10"];
    assert!(hub.run(&create).await.starts_with("slow\t10\t"));
    hub.until(&["twin", "show", "a"], |twin| twin.contains("\"interval\": 60")).await;
    assert_eq!(hub.json(&["twin", "show", "b"]).await["properties"]["desired"].get("interval"), None);
    assert!(hub.run(&["configuration", "list"]).await.starts_with("slow\t10\t1\t"));
    assert_eq!(hub.json(&["configuration", "show", "slow"]).await["targetCondition"], "tags.site = 'A'");
    hub.run(&["configuration", "delete", "slow"]).await;
    assert!(hub.try_run(&["configuration", "show", "slow"], "").await.is_err());
}

#[tokio::test]
async fn models_that_need_each_other() {
    let hub = Hub::start(&[]).await;
    let inner = json!({"@context": "dtmi:dtdl:context;2", "@id": "dtmi:com:example:Inner;1", "@type": "Interface",
        "displayName": "inner"});
    let outer = json!({"@context": "dtmi:dtdl:context;2", "@id": "dtmi:com:example:Outer;1", "@type": "Interface",
        "contents": [{"@type": "Component", "name": "part", "schema": "dtmi:com:example:Inner;1"}]});
    let directory = tempfile::tempdir().unwrap();
    let files = [("outer.json", &outer), ("inner.json", &inner)].map(|(name, model)| {
        let path = directory.path().join(name);
        std::fs::write(&path, model.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let (_, remarks) = hub.try_run(&["model", "add", &files[0], &files[1]], "").await.unwrap();
    assert_eq!(remarks, "added dtmi:com:example:Inner;1\nadded dtmi:com:example:Outer;1");
    assert_eq!(hub.run(&["model", "list"]).await, "dtmi:com:example:Inner;1\tinner\ndtmi:com:example:Outer;1\t\n");
    assert_eq!(hub.json(&["model", "show", "dtmi:com:example:Outer;1"]).await, outer);
    assert!(hub.try_run(&["model", "delete", "dtmi:com:example:Inner;1"], "").await.is_err(), "another needs it");
    hub.run(&["model", "delete", "dtmi:com:example:Outer;1"]).await;
    hub.run(&["model", "delete", "dtmi:com:example:Inner;1"]).await;
    assert!(hub.try_run(&["model", "add", "-"], r#"{"@id":"nonsense"}"#).await.is_err());
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = named("Works CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn an_authority_is_added_proven_and_deleted() {
    let hub = Hub::start(&[]).await;
    let authority = authority();
    let (added, _) = hub.try_run(&["cert", "add", "works", "-"], &authority.pem()).await.unwrap();
    assert!(added.starts_with("works\tauthority\tunverified\t"), "{added}");
    assert!(hub.try_run(&["cert", "add", "works", "-"], &authority.pem()).await.is_err(), "the name is taken");
    let code = hub.run(&["cert", "code", "works"]).await;
    let proof = named(code.trim()).signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
    let wrong = hub.try_run(&["cert", "verify", "works", "-"], &authority.pem()).await.unwrap_err();
    assert_eq!(wrong.exit_code(), 1);
    let (verified, _) = hub.try_run(&["cert", "verify", "works", "-"], &proof.pem()).await.unwrap();
    assert!(verified.starts_with("works\tauthority\tverified\t"), "{verified}");
    let (vouched, _) = hub.try_run(&["cert", "add", "other", "-", "--verified"], &authority.pem()).await.unwrap();
    assert!(vouched.starts_with("other\tauthority\tverified\t"), "{vouched}");
    assert_eq!(hub.run(&["cert", "list"]).await.lines().count(), 2);
    hub.run(&["cert", "delete", "works"]).await;
    assert!(hub.try_run(&["cert", "show", "works"], "").await.is_err());
}

#[tokio::test]
async fn no_command_but_those_that_are_asked_shows_a_key() {
    let hub = Hub::start(&[]).await;
    hub.run(&["device", "create", "d", "--key", KEY]).await;
    assert!(hub.served.state.control.refresh().await);
    for arguments in [
        &["device", "show", "d", "--json"][..],
        &["device", "list", "--json"],
        &["device", "disable", "d", "--json"],
        &["twin", "show", "d"],
        &["query", "SELECT * FROM devices", "--json"],
        &["policy", "list", "--json"],
    ] {
        let shown = hub.run(arguments).await;
        assert!(!shown.contains(KEY.get(..20).unwrap()), "{arguments:?}: {shown}");
    }
    assert!(hub.run(&["device", "connection-string", "d"]).await.contains(KEY));
}
