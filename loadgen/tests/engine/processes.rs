//! The program itself: several processes, exit codes, output.

use std::process::{Command, Output};

use crate::broker::{Behaviour, Broker};

fn loadgen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().unwrap()
}

#[test]
fn several_processes_make_one_report_and_one_ledger() {
    let broker = Broker::start(Behaviour::default());
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    let target = broker.address.to_string();
    let output = loadgen(&[
        "run",
        "--target",
        &target,
        "--topic",
        "bench/{id}",
        "--connections",
        "7",
        "--rate",
        "300",
        "--duration",
        "1.5",
        "--processes",
        "3",
        "--json",
        "--quiet",
        "--allow-invalid",
        "--ledger",
        ledger.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["generator"]["threads"], 3);
    assert_eq!(report["connections"]["open"], 7);
    let acknowledged = report["messages"]["acknowledged"].as_u64().unwrap();
    assert!((350..=550).contains(&acknowledged), "{acknowledged}");
    assert_eq!(report["latency_us"]["count"], acknowledged);
    let ids: Vec<String> = broker.seen.bodies.lock().unwrap().keys().cloned().collect();
    assert_eq!(ids, ["dev-0", "dev-1", "dev-2", "dev-3", "dev-4", "dev-5", "dev-6"]);
    // Nothing was stored anywhere, so all of it is lost.
    let empty = directory.path().to_str().unwrap();
    let output = loadgen(&["verify", "--ledger", ledger.to_str().unwrap(), "--parquet", empty, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let verdict: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["lost"], acknowledged);
}

#[test]
fn exit_codes_and_streams_are_as_promised() {
    for (arguments, code) in [
        (&["run", "--connections", "0"][..], 2),
        (&["run", "--no-such-flag"], 2),
        (&["run", "--target", "127.0.0.1:1", "--quiet"], 1),
        (&["verify", "--ledger", "/nonexistent", "--parquet", "/nonexistent"], 1),
        (&["verify", "--ledger", "x"], 2),
        (&["--help"], 0),
    ] {
        let output = loadgen(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(output.stdout.is_empty(), code != 0, "{arguments:?}");
        assert_eq!(output.stderr.is_empty(), code == 0, "{arguments:?}");
    }
}
