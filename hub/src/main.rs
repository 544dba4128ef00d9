//! The program millrace.
fn main() {}
