//! The ingest tier over real sockets: what is acknowledged lies in the journal, and a bad peer costs only itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;
mod hostile;
mod publish;
mod sessions;
mod tls;
