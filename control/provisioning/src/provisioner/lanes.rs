//! What comes from sessions.
//! - Shape: [`LANES`] lanes, each a bounded queue and a task; a session's requests share a lane and keep their order.
//! - Limits: [`LANE_REQUESTS_MAX`] in each; behind that the door tells its device to come again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use millrace_control_store::clock;
use millrace_model::door::{
    Full, Provisioning, Refusal, Registrant, RegistrationRequest, SessionKey, Subscriptions, ToDevice,
};
use tokio::sync::mpsc;

use super::{Provisioner, Reply, Shared, lock};
use crate::error::Refused;
use crate::events;
use crate::limits::{LANE_REQUESTS_MAX, LANES};
use crate::random;
use crate::registration::time_text;

/// How often a session's shard is tried that takes nothing for the moment.
const TELL_ATTEMPTS_MAX: usize = 50;

/// Pause between two of those.
const TELL_PAUSE: Duration = Duration::from_millis(20);

/// A request of a session.
pub(super) struct Ask {
    from: SessionKey,
    who: Arc<Registrant>,
    request: RegistrationRequest,
}

impl Provisioning for Provisioner {
    fn ask(&self, from: SessionKey, who: &Arc<Registrant>, request: RegistrationRequest) -> Result<(), Full> {
        let number = usize::from(from.shard).wrapping_add(usize::try_from(from.slot).unwrap_or_default());
        let lane = self.lanes.get(number % LANES).ok_or(Full)?;
        lane.try_send(Ask { from, who: Arc::clone(who), request }).map_err(|_| Full)
    }
}

/// Starts the lanes. They end when the last handle of the service goes.
pub(super) fn start(shared: &Arc<Shared>) -> Arc<[mpsc::Sender<Ask>]> {
    let mut tasks = lock(&shared.tasks);
    let lane = |_| {
        let (sender, receiver) = mpsc::channel(LANE_REQUESTS_MAX);
        tasks.spawn(serve(Arc::downgrade(shared), receiver));
        sender
    };
    (0..LANES).map(lane).collect()
}

async fn serve(shared: Weak<Shared>, mut requests: mpsc::Receiver<Ask>) {
    while let Some(Ask { from, who, request }) = requests.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        let answer = match request {
            RegistrationRequest::Attest => opened(shared.judge(&who).await.map(|_| ())),
            RegistrationRequest::Register { request_id, body } => {
                registration(request_id, shared.register(&who, &body).await)
            }
            RegistrationRequest::Status { request_id, operation_id } => {
                registration(request_id, shared.operation(&who, &operation_id).await)
            }
        };
        tell(&shared, from, answer).await;
    }
}

fn opened(attested: Result<(), Refused>) -> ToDevice {
    match attested.map_err(|refused| refused.error.status) {
        Ok(()) => ToDevice::Opened { is_present: false, subscriptions: Subscriptions::default() },
        Err(429) => ToDevice::Refused(Refusal::Throttled),
        Err(500..) => ToDevice::Refused(Refusal::Unavailable),
        Err(_) => ToDevice::Refused(Refusal::Unauthorized),
    }
}

fn registration(request_id: Box<str>, outcome: Result<Reply, Refused>) -> ToDevice {
    match outcome {
        Ok(Reply { status, retry_after, body }) => {
            ToDevice::Registration { request_id, status, retry_after, body: Bytes::from(body.to_string()) }
        }
        Err(Refused { error, retry_after }) => {
            let body = error.body(&random::tracking_id(), &time_text(clock::now().0));
            ToDevice::Registration { request_id, status: error.status, retry_after, body: Bytes::from(body) }
        }
    }
}

/// Hands an answer over. A shard that takes nothing for a second has worse troubles; the device asks again.
async fn tell(shared: &Shared, to: SessionKey, answer: ToDevice) {
    for _ in 0..TELL_ATTEMPTS_MAX {
        if shared.doors.tell(to, answer.clone()).is_ok() {
            return;
        }
        tokio::time::sleep(TELL_PAUSE).await;
    }
    events::undelivered();
}
