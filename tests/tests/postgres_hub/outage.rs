//! PostgreSQL is killed under load: what needs it says "later", what does not goes on, and everything recovers by itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use millrace_tests::device::{Device, filters, token, user_name};
use millrace_tests::hub::PATIENCE;
use millrace_tests::postgres::Postgres;
use millrace_tests::scene::{Scene, key};
use serde_json::json;

use crate::exchange::{everything, joined};

#[test]
fn telemetry_goes_on_without_the_database_and_the_rest_comes_back() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut scene = Scene::new(&postgres.configuration())?;
    let ids = scene.devices(4)?;
    let [sender, asker, ..] = ids.as_slice() else { anyhow::bail!("too few devices") };
    let mut load = scene.connect(sender)?;
    let mut device = scene.connect(asker)?;
    device.subscribe(&filters(asker))?;
    everything(&scene.rest, &mut device, asker, 1)?;
    let (is_over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                load.telemetry(b"{\"n\":1}")?;
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
        let outage = outage(&postgres, &scene, &ids, &mut device, &acknowledged);
        is_over.store(true, Ordering::Relaxed);
        joined(load)?;
        outage
    })?;
    everything(&scene.rest, &mut device, asker, 2)?;
    let twin = device.twin()?;
    ensure!(twin.body["reported"] == json!({"number": 2, "$version": 3}), "{twin:?}");
    ensure!(scene.hub.stop()?.success(), "{}", scene.hub.log());
    Ok(())
}

fn outage(
    postgres: &Postgres,
    scene: &Scene,
    ids: &[String],
    device: &mut Device,
    telemetry: &AtomicU64,
) -> Result<()> {
    advances(telemetry)?;
    postgres.kill()?;
    std::thread::scope(|scope| {
        // Each of them takes the hub some seconds: it waits for the database a little before it gives up.
        let newcomers: Vec<_> = [&ids[2], "nobody"].map(|id| scope.spawn(move || code(scene, id))).into();
        let service = scope.spawn(|| scene.rest.call("GET", &format!("/twins/{}", ids[1]), &json!(null)));
        let report = device.report(b"{\"lost\":1}")?;
        ensure!(matches!(report.status, 429 | 503) && report.body["errorCode"].is_u64(), "{report:?}");
        let service = joined(service)?;
        ensure!(service.status == 503 && service.code() >= 503_000, "{service:?}");
        for newcomer in newcomers {
            let code = joined(newcomer)?;
            ensure!(code == 3, "CONNACK {code}");
        }
        anyhow::Ok(())
    })?;
    scene.hub.wait("readiness lost", |hub| {
        let (status, body) = hub.get("/readyz")?;
        Ok(status == 503 && body.contains("\"registry\":\"cannot be read\""))
    })?;
    ensure!(scene.hub.get("/healthz")?.0 == 200, "the hub is alive all the same");
    advances(telemetry)?;
    postgres.restart()?;
    scene.hub.wait("readiness regained", |hub| Ok(hub.get("/readyz")?.0 == 200))?;
    let newcomer = scene.connect(&ids[3])?;
    newcomer.abort();
    advances(telemetry)
}

/// Waits until more telemetry is acknowledged.
fn advances(acknowledged: &AtomicU64) -> Result<()> {
    let (before, deadline) = (acknowledged.load(Ordering::Relaxed), Instant::now() + PATIENCE);
    while acknowledged.load(Ordering::Relaxed) < before + 50 {
        ensure!(Instant::now() < deadline, "telemetry is not acknowledged any more");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What a device that connects is told.
fn code(scene: &Scene, id: &str) -> Result<u8> {
    let (_, code) = Device::dial(scene.hub.mqtt)?.introduce(id, &user_name(id), &token(id, &key()?), false)?;
    Ok(code)
}
