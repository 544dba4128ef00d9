//! Any bytes as bag and body of a message, for conditions that read all of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_router::fuzz::message(data));
