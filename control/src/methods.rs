//! Direct methods: who is called, who waits for which answer.
//! - Source: Azure IoT Hub direct methods. Not connected, or not listening: 404103; silent: 504101.
//! - Invariants: a caller that goes away leaves nothing behind; a session that ends answers all its calls at once.
//! - Limits: calls under way as configured, [`ARRIVALS_MAX`] callers that wait for devices to connect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use millrace_control_command::{CommandConfig, MethodCall, MethodResult, MethodTable};
use millrace_ingest::Directory;
use millrace_model::door::{SessionKey, Subscription, ToDevice};
use millrace_model::{HubError, IdentityName};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::control::Control;
use crate::events;
use crate::failure::not_found;
use crate::limits::ARRIVALS_MAX;
use crate::sessions::Session;
use crate::throttle::Operation;

/// Tells a caller.
type Caller = oneshot::Sender<Result<MethodResult, HubError>>;

/// Calls under way, and callers that wait for their device.
pub(crate) struct Calls {
    table: Mutex<MethodTable<Caller>>,
    arrivals: Mutex<Arrivals>,
}

/// Callers that wait for devices to connect.
#[derive(Default)]
struct Arrivals {
    devices: HashMap<IdentityName, Awaited>,
    /// Of all devices together.
    callers: usize,
}

/// A device that callers wait for.
struct Awaited {
    arrived: Arc<Notify>,
    callers: usize,
}

/// A place among the calls under way; given up when dropped.
struct UnderWay<'a> {
    calls: &'a Calls,
    call: u64,
}

/// A place among the callers that wait for a device; given up when dropped.
struct Waiting<'a> {
    calls: &'a Calls,
    name: &'a IdentityName,
    arrived: Arc<Notify>,
}

impl Control {
    /// Calls a method of a device or module, and waits for its answer.
    ///
    /// # Errors
    /// `NOT_ONLINE` when it is not connected and listening after the connect time-out, or its session ends; `GATEWAY_TIMEOUT` when it does
    /// not answer in time; `THROTTLED` when too many calls are under way; when there is no such identity.
    pub async fn invoke(&self, name: &IdentityName, call: MethodCall) -> Result<MethodResult, HubError> {
        self.shared.throttles.pass(Operation::Method).await?;
        let answer = self.invoked(name, call).await;
        events::method_ended(match &answer {
            Ok(_) => "answered",
            Err(error) if error.code == HubError::NOT_ONLINE.code => "offline",
            Err(error) if error.code == HubError::GATEWAY_TIMEOUT.code => "timeout",
            Err(_) => "refused",
        });
        answer
    }

    async fn invoked(&self, name: &IdentityName, call: MethodCall) -> Result<MethodResult, HubError> {
        self.check_known(name).await?;
        let session = self.await_session(name, call.connect_timeout).await?;
        let (caller, answer) = oneshot::channel();
        let deadline = Instant::now() + call.response_timeout;
        let number = self.shared.calls.table().begin(session.key, deadline.into_std(), caller)?;
        let under_way = UnderWay { calls: &self.shared.calls, call: number };
        // A session that ended before the call was noted does not answer it; telling it fails then.
        let method = ToDevice::Method { call: number, name: call.name.into(), payload: call.payload };
        let answer = async {
            if !self.tell(name, session.key, method).await {
                return Err(HubError::NOT_ONLINE);
            }
            answer.await.unwrap_or(Err(HubError::NOT_ONLINE))
        };
        let answer = timeout_at(deadline, answer).await.unwrap_or(Err(HubError::GATEWAY_TIMEOUT));
        drop(under_way);
        answer
    }

    /// Checks that an identity is there: in the directory or, if it is new, behind it.
    pub(crate) async fn check_known(&self, name: &IdentityName) -> Result<(), HubError> {
        let is_known = || self.shared.directory.find(name.device_id(), name.module_id()).is_some();
        if is_known() {
            return Ok(());
        }
        self.shared.refresher.catch_up().await;
        if is_known() { Ok(()) } else { Err(not_found(name)) }
    }

    /// The session of an identity once it is live and listens to methods.
    async fn await_session(&self, name: &IdentityName, patience: Duration) -> Result<Session, HubError> {
        let listening =
            || self.shared.sessions.find(name).filter(|session| session.subscriptions.has(Subscription::Methods));
        if let Some(session) = listening() {
            return Ok(session);
        }
        if patience.is_zero() {
            return Err(HubError::NOT_ONLINE);
        }
        let deadline = Instant::now() + patience;
        let waiting = self.shared.calls.wait_for(name)?;
        loop {
            let arrived = waiting.arrived.notified();
            if let Some(session) = listening() {
                return Ok(session);
            }
            timeout_at(deadline, arrived).await.map_err(|_| HubError::NOT_ONLINE)?;
        }
    }
}

impl Calls {
    pub(crate) fn new(config: &CommandConfig) -> Self {
        Self { table: Mutex::new(MethodTable::new(config)), arrivals: Mutex::default() }
    }

    /// How many calls are under way.
    pub(crate) fn count(&self) -> usize {
        self.table().len()
    }

    /// A device has answered. An answer that cannot be one is told to the caller as the device's fault.
    pub(crate) fn answered(&self, session: SessionKey, call: u64, status: i32, payload: Bytes) {
        let Some(caller) = self.table().answered(session, call) else { return };
        // The caller may have gone away in this moment.
        drop(caller.send(MethodResult::new(status, payload).map_err(HubError::from)));
    }

    pub(crate) fn session_ended(&self, session: SessionKey) {
        // Dropping what tells the callers is the answer.
        drop(self.table().session_ended(session));
    }

    /// A session listens to methods now.
    pub(crate) fn arrived(&self, name: &IdentityName) {
        if let Some(awaited) = self.arrivals().devices.get(name) {
            awaited.arrived.notify_waiters();
        }
    }

    fn wait_for<'a>(&'a self, name: &'a IdentityName) -> Result<Waiting<'a>, HubError> {
        let mut arrivals = self.arrivals();
        if arrivals.callers >= ARRIVALS_MAX {
            return Err(HubError::THROTTLED);
        }
        arrivals.callers = arrivals.callers.saturating_add(1);
        let none = || Awaited { arrived: Arc::default(), callers: 0 };
        let awaited = arrivals.devices.entry(name.clone()).or_insert_with(none);
        awaited.callers = awaited.callers.saturating_add(1);
        Ok(Waiting { calls: self, name, arrived: Arc::clone(&awaited.arrived) })
    }

    // No code runs under these locks that could leave a table half changed.
    fn table(&self) -> MutexGuard<'_, MethodTable<Caller>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        drop(self.calls.table().cancel(self.call));
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut arrivals = self.calls.arrivals();
        arrivals.callers = arrivals.callers.saturating_sub(1);
        if let Some(awaited) = arrivals.devices.get_mut(self.name) {
            awaited.callers = awaited.callers.saturating_sub(1);
            if awaited.callers == 0 {
                arrivals.devices.remove(self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::name;

    #[test]
    fn callers_that_wait_are_counted_also_when_they_wait_for_one_device() {
        let calls = Calls::new(&CommandConfig::default());
        let (one, other) = (name("one", None), name("other", None));
        let mut waiting: Vec<_> = (0..ARRIVALS_MAX).map(|_| calls.wait_for(&one).ok().unwrap()).collect();
        assert!(calls.wait_for(&one).is_err() && calls.wait_for(&other).is_err());
        waiting.pop();
        drop(calls.wait_for(&other).ok().unwrap());
        waiting.clear();
        let arrivals = calls.arrivals();
        assert!(arrivals.devices.is_empty() && arrivals.callers == 0);
    }
}
