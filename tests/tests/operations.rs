//! What an operator does and sees: configuration, ports, devices, routes at run time, drain, secrets.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use anyhow::{Context as _, Result};
use millrace_tests::hub::Hub;
use millrace_tests::load::Load;
use millrace_tests::programs::{millrace, run};

/// Exit code, standard output and standard error of a command.
fn outcome(command: &mut Command) -> Result<(Option<i32>, String, String)> {
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("bad.toml");
    let text = "[hub]\nnme = 1\n[mqtt]\nlisten = \"here\"\n[endpoints.k]\ntype = \"kafka\"\ntopci = \"t\"\n\
                [[routes]]\nname = \"r\"\nsource = \"DeviceMessages\"\ncondition = \"a = \"\nendpoints = [\"k\"]\n";
    fs::write(&file, text)?;
    let (code, _, complaints) = outcome(millrace(&["config", "check"])?.arg(&file))?;
    assert_eq!(code, Some(2));
    for expected in ["line 2", "nme", "line 4", "line 7", "topci", "route 'r'", "line 1, column 5"] {
        assert!(complaints.contains(expected), "no {expected} in:\n{complaints}");
    }
    fs::write(&file, "[hub]\nname = \"fine\"\n")?;
    assert_eq!(outcome(millrace(&["config", "check"])?.arg(&file))?.0, Some(0));
    let data = directory.path().join("data");
    fs::write(&file, text)?;
    let serve = outcome(millrace(&["serve", "--config"])?.arg(&file).arg("--data-dir").arg(&data))?;
    assert_eq!(serve.0, Some(2));
    assert!(!data.exists(), "nothing is touched before the configuration is right");
    Ok(())
}

#[test]
fn a_port_already_taken_is_named() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let directory = tempfile::tempdir()?;
    let address = taken.local_addr()?.to_string();
    let mut serve = millrace(&["serve", "--mqtt", &address, "--admin", "127.0.0.1:0", "--data-dir"])?;
    let (code, _, complaint) = outcome(serve.arg(directory.path().join("data")))?;
    assert_eq!(code, Some(1));
    assert!(complaint.contains(&address) && complaint.contains("another program"), "{complaint}");
    Ok(())
}

#[test]
fn a_second_hub_on_the_same_data_is_refused() -> Result<()> {
    let hub = Hub::start("")?;
    let mut serve = millrace(&["serve", "--mqtt", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir"])?;
    let (code, _, complaint) = outcome(serve.arg(hub.data()))?;
    assert_eq!(code, Some(1));
    assert!(complaint.contains("another hub uses the data directory"), "{complaint}");
    Ok(())
}

#[test]
fn routes_change_at_run_time_and_a_bad_file_changes_nothing() -> Result<()> {
    let routed = |condition: &str| {
        format!(
            "[endpoints.chosen]\ntype = \"parquet\"\nfile_seconds = 1\n[[routes]]\nname = \"r\"\n\
             source = \"DeviceMessages\"\ncondition = \"{condition}\"\nendpoints = [\"chosen\"]\n[fallback]\nenabled = false\n"
        )
    };
    let mut hub = Hub::start(&routed("false"))?;
    let devices = hub.devices(1)?;
    let send = |hub: &Hub| -> Result<()> {
        Load::start(hub, &devices, &["--connections", "1", "--rate", "50", "--duration", "1"])?.finish().map(drop)
    };
    send(&hub)?;
    hub.configure(&routed("nonsense = = 1"))?;
    hub.wait("the refusal", |hub| Ok(hub.log().contains("the old routes stay")))?;
    hub.configure(&routed("true"))?;
    hub.signal("HUP")?;
    hub.wait("the new routes", |hub| Ok(hub.log().contains("routes loaded")))?;
    send(&hub)?;
    assert!(hub.stop()?.success());
    let rows: usize = hub
        .log()
        .lines()
        .filter(|line| line.contains("parquet file complete"))
        .filter_map(|line| line.split("rows=").nth(1)?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert!((40..=60).contains(&rows), "{rows} rows: only the second run is routed\n{}", hub.log());
    Ok(())
}

#[test]
fn devices_are_managed_while_the_hub_runs() -> Result<()> {
    let hub = Hub::start("")?;
    let text = hub.device(&["create", "pump-1"])?;
    assert_eq!(text.lines().count(), 1, "the connection string and nothing else");
    assert!(text.starts_with("HostName=localhost;DeviceId=pump-1;SharedAccessKey="));
    let key = text.trim().rsplit_once("SharedAccessKey=").context("no key")?.1.to_owned();
    assert!(hub.device(&["list"])?.contains("pump-1\tenabled"));
    assert!(hub.device(&["disable", "pump-1"])?.contains("disabled"));
    assert!(hub.device(&["show", "pump-1", "--json"])?.contains("\"enabled\": false"));
    assert!(hub.device(&["create", "pump-1"]).is_err(), "it is there already");
    hub.device(&["delete", "pump-1"])?;
    assert!(hub.device(&["show", "pump-1"]).is_err());
    assert!(hub.device(&["create", "../../etc"]).is_err(), "not a device id");
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert!(!hub.get(path)?.1.contains(&key));
    }
    assert!(!hub.log().contains(&key), "a key is never logged");
    // The same over the network, with the owner's connection string.
    let policy = run(millrace(&["policy", "connection-string", "--data-dir"])?.arg(hub.data()))?;
    let url = format!("http://{}", hub.admin);
    let mut list = millrace(&["device", "create", "pump-2", "--hub", &url])?;
    let created = run(list.env("MILLRACE_CONNECTION_STRING", policy.trim()))?;
    assert!(created.contains("DeviceId=pump-2;SharedAccessKey="), "{created}");
    assert!(hub.device(&["list"])?.contains("pump-2"));
    Ok(())
}

#[test]
fn disabling_a_device_ends_its_session_within_a_second() -> Result<()> {
    let hub = Hub::start("")?;
    let devices = hub.devices(1)?;
    let mut load = Load::start(&hub, &devices, &["--connections", "1", "--rate", "20", "--duration", "4"])?;
    hub.wait("its messages", |hub| Ok(hub.metric("millrace_ingest_acknowledged_total")? > 5.0))?;
    hub.device(&["disable", "dev-0"])?;
    let start = std::time::Instant::now();
    hub.wait("the end of its session", |hub| {
        Ok(hub.get("/metrics")?.1.contains("millrace_ingest_connections_closed_total{reason=\"disabled\"} 1"))
    })?;
    assert!(start.elapsed().as_millis() < 1500, "{:?}", start.elapsed());
    // A generator whose only device is sent away has failed, as it should say.
    drop(load.finish());
    Ok(())
}

#[test]
fn a_drained_hub_has_delivered_everything() -> Result<()> {
    let mut hub = Hub::start("")?;
    let devices = hub.devices(10)?;
    let mut load = Load::start(&hub, &devices, &["--connections", "10", "--rate", "500", "--duration", "3"])?;
    load.finish()?;
    assert!(hub.stop()?.success());
    let parquet = hub.data().join("parquet");
    let (code, verdict) = load.verify(&["--parquet", &parquet.to_string_lossy()])?;
    assert_eq!(code, 0, "{verdict:#}");
    let journal = run(millrace(&["journal", "inspect", "--json"])?.arg(hub.data()))?;
    assert!(journal.contains("\"damage\": []") || journal.contains("\"segments\": []"), "{journal}");
    Ok(())
}

#[test]
fn route_test_explains_its_answer() -> Result<()> {
    let mut test = millrace(&["route", "test", "level = 'critical' AND $body.temperature > 70"])?;
    test.args(["--property", "level=critical", "--body", "{\"temperature\": 71}"]);
    let (code, text, _) = outcome(&mut test)?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("application/json"), "why the body is undefined:\n{text}");
    test.args(["--content-type", "application/json", "--content-encoding", "utf-8"]);
    let (code, text, _) = outcome(&mut test)?;
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(outcome(&mut millrace(&["route", "test", "a = "])?)?.0, Some(2));
    Ok(())
}

#[test]
fn the_configurations_in_deploy_are_valid() -> Result<()> {
    let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let mut checked = 0;
    for folder in [deploy.clone(), deploy.join("examples"), deploy.join("container")] {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let (code, _, complaint) = outcome(millrace(&["config", "check"])?.arg(&path))?;
                assert_eq!(code, Some(0), "{}: {complaint}", path.display());
                checked += 1;
            }
        }
    }
    assert!(checked >= 5, "only {checked} configurations found");
    Ok(())
}
