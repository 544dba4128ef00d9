//! Open-loop load generator and verifier.
fn main() {}
