//! Lanes: where requests of doors wait until they are carried out, each device's in the order in which they were asked.
//! - Shape: a fixed number of bounded queues with a task each; a device and its modules are hashed to one. Many lanes, so that the store
//!   has many writes for one commit.
//! - Invariants: handing over never blocks. [`Request::Close`] is always taken: a session closes once, so there are never more of those
//!   than sessions.
//! - Limits: [`LANES`], [`LANE_REQUESTS_MAX`]; full: the asker is told so at once.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::DefaultHashBuilder;
use millrace_model::IdentityName;
use millrace_model::door::{Full, Request, SessionKey};
use tokio::sync::Notify;

use crate::limits::{LANE_REQUESTS_MAX, LANES};

/// A request, and whose it is.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) from: SessionKey,
    pub(crate) name: Arc<IdentityName>,
    pub(crate) request: Request,
}

pub(crate) struct Lanes {
    lanes: Box<[Lane]>,
    hasher: DefaultHashBuilder,
}

#[derive(Default)]
struct Lane {
    waiting: Mutex<VecDeque<Asked>>,
    arrived: Notify,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self { lanes: (0..LANES).map(|_| Lane::default()).collect(), hasher: DefaultHashBuilder::default() }
    }

    /// Hands a request over.
    pub(crate) fn push(&self, asked: Asked) -> Result<(), Full> {
        let hash = self.hasher.hash_one(asked.name.device_id());
        let index = usize::from(u16::try_from(hash >> 48).unwrap_or_default()) & (LANES - 1);
        let lane = self.lanes.get(index).ok_or(Full)?;
        {
            let mut waiting = lane.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= LANE_REQUESTS_MAX && !matches!(asked.request, Request::Close) {
                return Err(Full);
            }
            waiting.push_back(asked);
        }
        lane.arrived.notify_one();
        Ok(())
    }

    /// Waits for the next request of a lane. Cancel-safe: a request is taken out only when it is returned.
    pub(crate) async fn next(&self, lane: usize) -> Option<Asked> {
        let lane = self.lanes.get(lane)?;
        loop {
            let arrived = lane.arrived.notified();
            if let Some(asked) = lane.pop() {
                return Some(asked);
            }
            arrived.await;
        }
    }
}

impl Lane {
    fn pop(&self) -> Option<Asked> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = waiting.pop_front();
        if waiting.is_empty() && waiting.capacity() > LANE_REQUESTS_MAX / 8 {
            // What a storm needed is given back.
            waiting.shrink_to(LANE_REQUESTS_MAX / 64);
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(number: u32, request: Request) -> Asked {
        let name = Arc::new(IdentityName::new("d", None).unwrap());
        Asked { from: SessionKey { shard: 0, slot: number, generation: 0 }, name, request }
    }

    #[tokio::test]
    async fn requests_of_a_device_keep_their_order_and_closing_is_never_refused() {
        let lanes = Lanes::new();
        let mut taken = 0;
        while lanes.push(asked(taken, Request::Refresh)).is_ok() {
            taken += 1;
        }
        assert_eq!(usize::try_from(taken).unwrap(), LANE_REQUESTS_MAX);
        lanes.push(asked(taken, Request::Close)).unwrap();
        let lane = (0..LANES).find(|&lane| !lanes.lanes[lane].waiting.lock().unwrap().is_empty()).unwrap();
        for number in 0..=taken {
            assert_eq!(lanes.next(lane).await.unwrap().from.slot, number);
        }
        lanes.push(asked(0, Request::Refresh)).unwrap();
    }
}
