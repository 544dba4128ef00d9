//! A device that does what devices do, all the time, while others misbehave; and what all tests here ask of a refusal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use millrace_tests::device::{Device, filters};
use millrace_tests::hub::PATIENCE;
use millrace_tests::rest::Answer;
use millrace_tests::scene::Scene;

/// Rounds that show that the hub serves others.
const ROUNDS: u64 = 3;

/// See the module's documentation. A round is telemetry with its PUBACK, a twin patched and read.
pub(crate) struct Bystander {
    is_over: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Bystander {
    pub(crate) fn start(scene: &Scene) -> Result<Self> {
        scene.rest.create("bystander", &millrace_tests::scene::key()?)?;
        let mut device = scene.connect("bystander")?;
        device.subscribe(&filters("bystander"))?;
        let (is_over, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (over, count) = (Arc::clone(&is_over), Arc::clone(&rounds));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                round(&mut device, count.load(Ordering::Relaxed))?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Ok(Self { is_over, rounds, thread: Some(thread) })
    }

    /// Waits until some more rounds went well.
    pub(crate) fn unharmed(&self) -> Result<()> {
        let wanted = self.rounds.load(Ordering::Relaxed) + ROUNDS;
        let deadline = Instant::now() + PATIENCE;
        while self.rounds.load(Ordering::Relaxed) < wanted {
            ensure!(!self.thread.as_ref().is_none_or(JoinHandle::is_finished), "the bystander's connection broke");
            ensure!(Instant::now() < deadline, "the bystander is not served");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends the test: the device was never disturbed, and the hub ends as it should.
    pub(crate) fn finish(mut self, mut scene: Scene) -> Result<()> {
        self.unharmed()?;
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        let Some(Ok(served)) = ended else { bail!("the bystander panicked") };
        served?;
        ensure!(scene.hub.stop()?.success(), "{}", scene.hub.log());
        ensure!(!scene.hub.log().contains("panicked"), "{}", scene.hub.log());
        Ok(())
    }
}

fn round(device: &mut Device, number: u64) -> Result<()> {
    device.telemetry(b"{\"temperature\":21}")?;
    let reported = device.report(format!("{{\"round\":{number}}}").as_bytes())?;
    ensure!(reported.status == 204, "{reported:?}");
    let twin = device.twin()?;
    ensure!(twin.status == 200 && twin.body["reported"]["round"] == number, "{twin:?}");
    Ok(())
}

/// The answer has one of these statuses and the hub's own error body.
pub(crate) fn refused(what: &str, answer: &Answer, statuses: &[u16]) -> Result<()> {
    ensure!(statuses.contains(&answer.status), "{what}: {answer:?}");
    let json = answer.json();
    let has_code = json["errorCode"].as_u64().is_some_and(|code| code >= 100_000);
    ensure!(has_code && json["message"].is_string(), "{what}: {}", String::from_utf8_lossy(&answer.body));
    Ok(())
}
