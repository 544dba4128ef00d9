//! A control side that notes what it is asked, and answers what the test says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use millrace_ingest::Doorway;
use millrace_model::IdentityName;
use millrace_model::door::{
    Control, Doors as _, Full, Provisioning, Registrant, RegistrationRequest, Request, SessionKey, Subscriptions,
    ToDevice,
};

use crate::harness::PATIENCE;

/// Something that was asked.
#[derive(Debug)]
pub(crate) enum Ask {
    Control(SessionKey, String, Request),
    Provisioning(SessionKey, Arc<Registrant>, RegistrationRequest),
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Asked {
    asked: Mutex<VecDeque<Ask>>,
    arrived: Condvar,
    doorway: OnceLock<Doorway>,
    /// Whether the test answers `Open` itself.
    holds_open: AtomicBool,
    /// Whether it takes no more.
    is_full: AtomicBool,
}

impl Asked {
    /// One that opens every session at once, and forgets that it was asked to.
    pub(crate) fn opening() -> Arc<Self> {
        Arc::default()
    }

    /// One that leaves everything to the test.
    pub(crate) fn holding() -> Arc<Self> {
        let asked = Self::default();
        asked.holds_open.store(true, Ordering::SeqCst);
        Arc::new(asked)
    }

    pub(crate) fn attach(&self, doorway: Doorway) {
        assert!(self.doorway.set(doorway).is_ok(), "one hub each");
    }

    pub(crate) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    pub(crate) fn tell(&self, session: SessionKey, what: ToDevice) {
        self.doorway.get().unwrap().tell(session, what).unwrap();
    }

    /// Answers `Open` with yes.
    pub(crate) fn open(&self, session: SessionKey, is_present: bool, subscriptions: Subscriptions) {
        self.tell(session, ToDevice::Opened { is_present, subscriptions });
    }

    fn next_ask(&self) -> Ask {
        let asked = self.asked.lock().unwrap();
        let (mut asked, waited) = self.arrived.wait_timeout_while(asked, PATIENCE, |asked| asked.is_empty()).unwrap();
        assert!(!waited.timed_out(), "nothing was asked");
        asked.pop_front().unwrap()
    }

    /// The next thing that a session asks: which session, of whom, what.
    pub(crate) fn next(&self) -> (SessionKey, String, Request) {
        match self.next_ask() {
            Ask::Control(session, name, request) => (session, name, request),
            other @ Ask::Provisioning(..) => panic!("{other:?}"),
        }
    }

    /// The next thing that a registration asks.
    pub(crate) fn next_registration(&self) -> (SessionKey, Arc<Registrant>, RegistrationRequest) {
        match self.next_ask() {
            Ask::Provisioning(session, who, request) => (session, who, request),
            other @ Ask::Control(..) => panic!("{other:?}"),
        }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.asked.lock().unwrap().is_empty()
    }

    fn note(&self, ask: Ask) -> Result<(), Full> {
        let is_close = matches!(ask, Ask::Control(_, _, Request::Close));
        if self.is_full.load(Ordering::SeqCst) && !is_close {
            return Err(Full);
        }
        self.asked.lock().unwrap().push_back(ask);
        self.arrived.notify_all();
        Ok(())
    }
}

impl Control for Asked {
    fn ask(&self, from: SessionKey, name: &Arc<IdentityName>, request: Request) -> Result<(), Full> {
        if !self.holds_open.load(Ordering::SeqCst) {
            match request {
                Request::Open { .. } => {
                    self.open(from, false, Subscriptions::default());
                    return Ok(());
                }
                Request::Refresh => {
                    self.tell(from, ToDevice::Refreshed);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.note(Ask::Control(from, name.to_string(), request))
    }
}

impl Provisioning for Asked {
    fn ask(&self, from: SessionKey, who: &Arc<Registrant>, request: RegistrationRequest) -> Result<(), Full> {
        self.note(Ask::Provisioning(from, Arc::clone(who), request))
    }
}
