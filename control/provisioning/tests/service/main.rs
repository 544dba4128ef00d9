//! The provisioning service over real sockets, with its store on disk: devices, operators, webhooks, other hubs, and a TPM.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod assignment;
mod certificates;
mod enrollments;
mod harness;
mod local;
mod registration;
mod sessions;
mod tpm;
