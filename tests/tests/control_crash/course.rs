//! What the tests of this folder share: a hub that is killed again and again, and workers that go on over it.
//! - Invariants: the hub is killed only after something more was acknowledged than at its last start. A worker that finds a breach ends
//!   the whole course.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use millrace_tests::device::{Device, token, user_name};
use millrace_tests::hub::PATIENCE;
use millrace_tests::scene::{Scene, key};

/// Whether workers go on, and how much was acknowledged to them.
#[derive(Default)]
pub(crate) struct Course {
    is_over: AtomicBool,
    acknowledged: AtomicU64,
}

/// How often the hub is killed.
pub(crate) fn rounds() -> u64 {
    std::env::var("MILLRACE_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(4)
}

/// Kills and starts the hub as often as it is wanted.
pub(crate) fn storm(scene: &mut Scene, course: &Course) -> Result<()> {
    let random = RandomState::new();
    for round in 0..rounds() {
        let before = course.acknowledged.load(Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        while course.goes_on() && course.acknowledged.load(Ordering::Relaxed) < before + 20 {
            ensure!(Instant::now() < deadline, "nothing is acknowledged any more\n{}", scene.hub.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(random.hash_one(round) % 500));
        if !course.goes_on() {
            break;
        }
        scene.hub.kill()?;
        scene.hub.start_again()?;
    }
    Ok(())
}

impl Course {
    pub(crate) fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Something was acknowledged.
    pub(crate) fn note(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// Does a worker's work; what it finds wrong ends the course.
    pub(crate) fn work<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let done = work();
        if done.is_err() {
            self.end();
        }
        done
    }

    /// A session, as soon as the hub is there; `None` when the course is over. Says whether the hub knew it.
    pub(crate) fn connect(&self, address: SocketAddr, id: &str) -> Result<Option<(Device, bool)>> {
        let token = token(id, &key()?);
        while self.goes_on() {
            let introduced = Device::dial(address).and_then(|mut device| {
                let answer = device.introduce(id, &user_name(id), &token, false)?;
                Ok((device, answer))
            });
            match introduced {
                Ok((device, (is_present, 0))) => return Ok(Some((device, is_present))),
                // 3 is "not now"; everything else would end a client for good.
                Ok((_, (_, code))) if code != 3 => bail!("CONNACK {code} for {id}"),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Ok(None)
    }
}
