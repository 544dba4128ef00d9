//! Cloud-to-device messages, their feedback and direct methods: decides, never acts.
//! - Shape: (state, input, now, sometimes salt) -> new state and what is to be done.
//! - Source: Azure IoT Hub, cloud-to-device messaging and direct methods.
//! - Invariants: no clock, no randomness, no I/O. The same input gives the same output.
//! - Not here: storage (`control/store`), delivery and timers (`control`), topics and status lines (`protocols/mqtt`, `ingest/https`).

pub mod config;
pub mod error;
pub mod feedback;
pub mod limits;
pub mod message;
pub mod method;
pub mod queue;
mod time;

pub use config::CommandConfig;
pub use error::{CommandError, MethodError};
pub use feedback::{FeedbackBatch, FeedbackRecord, Outcome, OutcomeStatus};
pub use message::{Ack, Draft, Message};
pub use method::{MethodCall, MethodResult, MethodTable};
pub use queue::{Delivery, Entry, Holder, Input, Lock, LockToken, Queue, Step, Take};
