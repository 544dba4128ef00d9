//! Scheduled jobs: a direct method or a change of the twin for all devices that a condition means, at a time.
//! - Source: Azure IoT Hub service REST API, jobs v2.
//! - Shape: `request` (what is asked) -> `job` (its state, pure) and `outcome` (a row for each device, pure) -> `run` (who does it).
//! - Invariants: the devices are those that the condition means when the job begins. Each has one row, written before anything is done.
//!   A job's numbers are written together with the rows that they count. After a crash a device's step is at most repeated, never left out.

mod job;
mod lease;
mod list;
mod outcome;
mod request;
mod run;
mod service;
mod steps;

pub use job::{Job, JobStatus, Statistics};
pub use lease::{Lease, Runner};
pub use outcome::{DeviceJob, DeviceJobStatus};
pub use request::{JobRequest, JobType, Work};
