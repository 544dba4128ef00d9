//! The ingest tier over real sockets: what is acknowledged lies in the journal, and a bad peer costs only itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod asked;
mod certificates;
mod deliveries;
mod harness;
mod hostile;
mod opening;
mod other_doors;
mod publish;
mod quotas;
mod registrations;
mod requests;
mod sessions;
mod tls;
