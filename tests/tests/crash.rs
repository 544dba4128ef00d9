//! kill -9 at random instants under load: nothing acknowledged is lost, Parquet holds each message once, each device's order is kept.
//! `MILLRACE_CRASH_ROUNDS=100 cargo test -p millrace-tests --test crash` is the long run.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use anyhow::Result;
use millrace_tests::hub::Hub;
use millrace_tests::load::Load;

const CONFIGURATION: &str = "
[endpoints.parquet]
type = \"parquet\"
file_seconds = 1
[shutdown]
drain_seconds = 60
";

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() -> Result<()> {
    let rounds = std::env::var("MILLRACE_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(5_u64);
    let mut hub = Hub::start(CONFIGURATION)?;
    let devices = hub.devices(50)?;
    // Long enough for all rounds; ended by the test, once they are through.
    let seconds = (rounds * 4).to_string();
    let arguments = ["--connections", "50", "--rate", "3000", "--duration", &seconds, "--drain", "30"];
    let mut load = Load::start(&hub, &devices, &arguments)?;
    let random = RandomState::new();
    for round in 0..rounds {
        hub.wait("messages of this round", |hub| Ok(hub.metric("millrace_ingest_acknowledged_total")? > 0.0))?;
        std::thread::sleep(Duration::from_millis(random.hash_one(round) % 1500));
        hub.kill()?;
        hub.start_again()?;
    }
    let report = load.finish()?;
    assert!(hub.stop()?.success(), "{}", hub.log());
    let parquet = hub.data().join("parquet");
    let (code, verdict) = load.verify(&["--parquet", &parquet.to_string_lossy()])?;
    assert_eq!(code, 0, "{verdict:#}\n{report:#}");
    Ok(())
}
