//! Any text as a condition, over a few odd messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millrace_router::fuzz::condition(data));
