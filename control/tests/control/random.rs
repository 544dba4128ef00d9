//! Random histories of one device's queue over doors, HTTPS, restarts and losses, against what must hold whatever happens.
//! - Invariants checked: a message that was taken is completed at most once; none is lost before it is completed; what waits comes in order.

use std::collections::{BTreeMap, BTreeSet};

use millrace_control::Settings;
use millrace_control_command::CommandConfig;
use millrace_model::door::{Request, SessionKey, Subscription, ToDevice};
use proptest::prelude::*;

use crate::commands::send;
use crate::harness::{Device, Hub};

#[derive(Debug, Clone, Copy)]
enum Act {
    Send,
    Connect,
    Disconnect,
    Lose,
    Take,
    Receive,
    CompleteHttp,
    AbandonHttp,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => Just(Act::Send),
        2 => Just(Act::Connect),
        1 => Just(Act::Disconnect),
        1 => Just(Act::Lose),
        5 => Just(Act::Take),
        2 => Just(Act::Receive),
        2 => Just(Act::CompleteHttp),
        1 => Just(Act::AbandonHttp),
        1 => Just(Act::Restart),
    ]
}

/// What the world outside knows.
#[derive(Default)]
struct Ledger {
    sent: u32,
    completed: BTreeSet<u32>,
    /// Of the session that is connected: locks not yet taken, in the order of delivery.
    session: Option<SessionKey>,
    held: BTreeMap<u64, u32>,
    /// Lock tokens handed out over HTTPS.
    http: Vec<(String, u32)>,
}

impl Ledger {
    /// Reads what the session was told.
    fn read(&mut self, device: &Device<'_>) {
        while let Some(told) = device.try_next() {
            if let ToDevice::Command { lock, body, .. } = told {
                let number: u32 = std::str::from_utf8(&body).unwrap().parse().unwrap();
                assert!(!self.completed.contains(&number), "{number} was completed and comes again");
                assert!(!self.held.values().any(|held| *held == number), "{number} is delivered twice at a time");
                self.held.insert(lock, number);
            }
        }
    }

    fn complete(&mut self, number: u32) {
        assert!(self.completed.insert(number), "{number} is completed twice");
    }

    fn forget_session(&mut self) {
        self.session = None;
        self.held.clear();
    }
}

fn settings() -> Settings {
    // Nothing is given up here, however often it is abandoned.
    let commands = CommandConfig { session_window: 3, delivery_count_max: 100, ..CommandConfig::default() };
    Settings { commands, ..Settings::default() }
}

async fn history(acts: Vec<Act>) {
    let mut hub = Hub::with(settings()).await;
    let name = hub.create("d").await;
    hub.connected(&name, &[Subscription::Commands]).await.close().await;
    let mut ledger = Ledger::default();
    for act in acts {
        hub = step(hub, &name, act, &mut ledger).await;
    }
    // In the end a session takes all that is left.
    let device = hub.connected(&name, &[]).await;
    ledger.forget_session();
    while ledger.completed.len() + ledger.http.len() < usize::try_from(ledger.sent).unwrap() {
        let (lock, body) = device.command().await;
        let number = body.parse().unwrap();
        ledger.complete(number);
        device.ask(Request::CommandTaken { lock });
    }
    device.settled().await;
    let left = hub.control.command_count(&name).await.unwrap();
    assert_eq!(usize::try_from(left).unwrap(), ledger.http.len());
    hub.control.shutdown().await;
}

async fn step(hub: Hub, name: &millrace_model::IdentityName, act: Act, ledger: &mut Ledger) -> Hub {
    let session = |key| Device { hub: &hub, name: std::sync::Arc::new(name.clone()), key };
    match act {
        Act::Send => {
            if send(&hub, name, &ledger.sent.to_string()).await.is_ok() {
                ledger.sent += 1;
            }
        }
        Act::Connect => {
            let device = hub.connected(name, &[]).await;
            ledger.forget_session();
            ledger.session = Some(device.key);
        }
        Act::Disconnect => {
            if let Some(key) = ledger.session {
                session(key).close().await;
                ledger.forget_session();
            }
        }
        // The door has told the device, but what the device says is lost with its connection.
        Act::Lose => {
            if let Some(key) = ledger.session {
                let device = session(key);
                device.settled().await;
                device.close().await;
                ledger.forget_session();
            }
        }
        Act::Take => {
            if let Some(key) = ledger.session {
                let device = session(key);
                ledger.read(&device);
                if let Some((lock, number)) = ledger.held.pop_first() {
                    ledger.complete(number);
                    device.ask(Request::CommandTaken { lock });
                    device.ask(Request::CommandTaken { lock });
                    device.ask(Request::ReadTwin { request_id: "r".into() });
                    while !matches!(read_one(ledger, &device).await, ToDevice::Twin { .. }) {}
                }
            }
        }
        Act::Receive => {
            if let Some(received) = hub.control.receive_command(name, None).await.unwrap() {
                let number: u32 = std::str::from_utf8(&received.body).unwrap().parse().unwrap();
                assert!(!ledger.completed.contains(&number));
                ledger.http.push((received.lock_token, number));
            }
        }
        Act::CompleteHttp => {
            if let Some((token, number)) = ledger.http.pop() {
                hub.control.complete_command(name, &token).await.unwrap();
                ledger.complete(number);
                assert!(hub.control.complete_command(name, &token).await.is_err());
            }
        }
        Act::AbandonHttp => {
            if let Some((token, _)) = ledger.http.pop() {
                hub.control.abandon_command(name, &token).await.unwrap();
            }
        }
        Act::Restart => {
            ledger.forget_session();
            return hub.restarted().await;
        }
    }
    hub
}

/// Reads one thing that the session is told.
async fn read_one(ledger: &mut Ledger, device: &Device<'_>) -> ToDevice {
    let told = device.next().await;
    if let ToDevice::Command { lock, body, .. } = &told {
        let number: u32 = std::str::from_utf8(body).unwrap().parse().unwrap();
        assert!(!ledger.completed.contains(&number), "{number} was completed and comes again");
        assert!(!ledger.held.values().any(|held| *held == number), "{number} is delivered twice at a time");
        ledger.held.insert(*lock, number);
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_command_is_lost_or_completed_twice(acts in proptest::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(history(acts));
    }
}
