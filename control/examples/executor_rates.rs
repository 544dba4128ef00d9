//! Measures what the executor does in a second over a scratch SQLite store: twin patches, method calls and commands, each by CALLERS at once
//! (default 64) to as many connected devices, SECONDS each (default 5).
//! - Shape: `cargo run --release -p millrace-control --example executor_rates -- [CALLERS] [SECONDS]`

use std::error::Error;
use std::io::Write;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millrace_control::{Control, Follower, Parts, Policies, RegistryConfig, RegistryDirectory, Settings};
use millrace_control_command::{Draft, MethodCall};
use millrace_control_store::registry::{IdentityName, Record};
use millrace_control_store::{Authentication, SqliteStore, Store, clock};
use millrace_model::door::{
    Control as _, Doors, Full, Intake, Request, SessionKey, Submission, Submitted, Subscription, Subscriptions,
    ToDevice,
};
use serde_json::json;
use tokio::task::JoinSet;

/// Devices that answer methods and take commands as soon as they get them.
#[derive(Default)]
struct EagerDevices {
    control: OnceLock<Control>,
    names: OnceLock<Vec<Arc<IdentityName>>>,
}

/// A journal that forgets.
struct Forgetting;

impl Doors for EagerDevices {
    fn tell(&self, session: SessionKey, what: ToDevice) -> Result<(), Full> {
        let slot = usize::try_from(session.slot).unwrap_or_default();
        let name = self.names.get().and_then(|names| names.get(slot));
        let (Some(control), Some(name)) = (self.control.get(), name) else { return Ok(()) };
        match what {
            ToDevice::Method { call, .. } => {
                control.ask(session, name, Request::MethodAnswered { call, status: 200, payload: Bytes::new() })
            }
            ToDevice::Command { lock, .. } => control.ask(session, name, Request::CommandTaken { lock }),
            _ => Ok(()),
        }
    }
}

impl Intake for Forgetting {
    fn submit(&self, _: Submission, done: Submitted) {
        done(Ok(()));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let callers = arguments.next().map_or(Ok(64), |callers| callers.parse())?;
    let seconds = arguments.next().map_or(Ok(5), |seconds| seconds.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(callers, Duration::from_secs(seconds)))
}

async fn measure(callers: u32, duration: Duration) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let devices = Arc::<EagerDevices>::default();
    let control = start(dir.path(), &devices).await?;
    let mut names = Vec::new();
    for slot in 0..callers {
        let name = IdentityName::new(&format!("device-{slot}"), None)?;
        control.create(&Record::new(name.clone(), Authentication::None, clock::now(), 7)).await?;
        names.push(Arc::new(name));
    }
    devices.names.set(names.clone()).map_err(|_| "set twice")?;
    devices.control.set(control.clone()).map_err(|_| "set twice")?;
    let kinds = [Subscription::Commands, Subscription::Methods, Subscription::Desired];
    for (slot, name) in (0..).zip(&names) {
        let key = SessionKey { shard: 0, slot, generation: 1 };
        control.ask(key, name, Request::Open { clean: false, model_id: None })?;
        for kind in kinds {
            control.ask(key, name, Request::Subscribe { added: Subscriptions::one(kind, true), token: 0 })?;
        }
    }
    rate("twin patches", &control, &names, duration, |control, name| async move {
        control.patch_reported(&name, None, br#"{"temperature":21.5}"#).await.is_ok()
    })
    .await?;
    rate("desired patches", &control, &names, duration, |control, name| async move {
        let patch = json!({ "properties": { "desired": { "interval": 10 } } });
        control.patch_twin(&name, None, &patch).await.is_ok()
    })
    .await?;
    rate("method calls", &control, &names, duration, |control, name| async move {
        let Ok(call) = MethodCall::new("reboot", Bytes::new()) else { return false };
        control.invoke(&name, call).await.is_ok()
    })
    .await?;
    rate("commands", &control, &names, duration, |control, name| async move {
        let draft = Draft { body: Bytes::from_static(&[b'x'; 200]), ..Draft::default() };
        let Ok(message) = control.message(draft) else { return false };
        control.send_command(&name, &message).await.is_ok()
    })
    .await?;
    control.shutdown().await;
    Ok(())
}

async fn start(dir: &std::path::Path, devices: &Arc<EagerDevices>) -> Result<Control, Box<dyn Error>> {
    let store = Arc::new(SqliteStore::open(dir).await?);
    let registry: Arc<dyn Store> = Arc::<SqliteStore>::clone(&store);
    let directory = Arc::new(RegistryDirectory::new(1_000_000, Arc::new(Policies::open(dir)?)));
    let follower = Follower::start(Arc::clone(&registry), Arc::clone(&directory), &RegistryConfig::default()).await?;
    let parts = Parts {
        store: registry,
        documents: store,
        directory,
        follower,
        doors: Arc::<EagerDevices>::clone(devices),
        intake: Arc::new(Forgetting),
        on_change: Box::new(|_| {}),
    };
    Ok(Control::start(Settings { hub_name: "hub".to_owned(), ..Settings::default() }, parts).await?)
}

/// Runs `operation` for each device again and again, one at a time each.
async fn rate<F: Future<Output = bool> + Send>(
    what: &str,
    control: &Control,
    names: &[Arc<IdentityName>],
    duration: Duration,
    operation: impl Fn(Control, Arc<IdentityName>) -> F + Copy + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for name in names {
        let (control, name) = (control.clone(), Arc::clone(name));
        callers.spawn(async move {
            let (mut done, mut refused) = (0_u64, 0_u64);
            while begun.elapsed() < duration {
                if operation(control.clone(), Arc::clone(&name)).await {
                    done = done.saturating_add(1);
                } else {
                    refused = refused.saturating_add(1);
                    tokio::task::yield_now().await;
                }
            }
            (done, refused)
        });
    }
    let (mut done, mut refused) = (0_u64, 0_u64);
    for (more_done, more_refused) in callers.join_all().await {
        (done, refused) = (done.saturating_add(more_done), refused.saturating_add(more_refused));
    }
    let per_second = u128::from(done).saturating_mul(1_000) / begun.elapsed().as_millis().max(1);
    writeln!(std::io::stdout(), "{what:16} {per_second} a second, {done} done, {refused} refused")?;
    Ok(())
}
