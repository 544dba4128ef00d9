//! The ingest tier over real sockets: what is acknowledged lies in the journal, and a bad peer costs only itself.

mod harness;
mod hostile;
mod publish;
mod sessions;
mod tls;
