//! One hub on PostgreSQL: the command line reaches its devices, and everything outlives kill -9 of the hub.

use anyhow::{Context as _, Result, ensure};
use millrace_protocols_identity::connection_string::Credential;
use millrace_protocols_identity::{ConnectionString, Key};
use millrace_tests::device::{Device, filters};
use millrace_tests::postgres::Postgres;
use millrace_tests::programs::{millrace, run};
use millrace_tests::scene::Scene;

use crate::exchange::everything;

#[test]
fn a_hub_on_postgresql_is_operated_used_and_killed() -> Result<()> {
    let postgres = Postgres::start()?;
    let mut scene = Scene::new(&postgres.configuration())?;
    let local = key_of(&scene.hub.device(&["create", "local"])?)?;
    let remote = key_of(&over_hub(&scene, &["device", "create", "remote"])?)?;
    ensure!(!scene.hub.data().join("registry.sqlite").exists(), "devices are in a file that the hub does not read");
    let list = scene.hub.device(&["list"])?;
    ensure!(list.contains("local") && list.contains("remote"), "{list}");
    let devices = [("local", local), ("remote", remote)];
    for (id, key) in &devices {
        let (mut device, _) = Device::connect(scene.hub.mqtt, id, key)?;
        ensure!(device.subscribe(&filters(id))? == [1; 4]);
        device.telemetry(b"{}")?;
        everything(&scene.rest, &mut device, id, 1)?;
    }
    scene.hub.kill()?;
    let refused = scene.hub.device(&["create", "nowhere"]).err().context("made without a hub")?;
    ensure!(format!("{refused:#}").contains("no hub runs on"), "{refused:#}");
    ensure!(!scene.hub.data().join("registry.sqlite").exists());
    scene.hub.start_again()?;
    for (id, key) in &devices {
        let (mut device, is_present) = Device::connect(scene.hub.mqtt, id, key)?;
        ensure!(is_present, "{id}: a session was forgotten");
        let twin = device.twin()?;
        ensure!(twin.body["reported"]["number"] == 1 && twin.body["desired"]["number"] == 1, "{twin:?}");
        everything(&scene.rest, &mut device, id, 2)?;
    }
    scene.hub.device(&["disable", "local"])?;
    let mut refused = Device::dial(scene.hub.mqtt)?;
    let token = millrace_tests::device::token("local", &devices[0].1);
    let (_, code) = refused.introduce("local", &millrace_tests::device::user_name("local"), &token, false)?;
    ensure!(code == 5, "CONNACK {code} for a disabled device");
    ensure!(scene.hub.stop()?.success(), "{}", scene.hub.log());
    Ok(())
}

fn over_hub(scene: &Scene, arguments: &[&str]) -> Result<String> {
    let service = scene.hub.service("iothubowner")?;
    let mut command = millrace(arguments)?;
    command.arg("--hub").arg(format!("http://{}", scene.hub.admin)).env("MILLRACE_CONNECTION_STRING", service);
    run(&mut command)
}

fn key_of(connection_string: &str) -> Result<Key> {
    match ConnectionString::parse(connection_string.trim())?.credential {
        Credential::Key(key) => Ok(key),
        _ => anyhow::bail!("no key in the connection string"),
    }
}
