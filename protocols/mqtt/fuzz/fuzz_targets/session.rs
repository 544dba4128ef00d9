//! Any bytes as a whole connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_protocols_mqtt::fuzz::session(data));
