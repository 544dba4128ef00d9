//! Any bytes as what a server says; the first byte chooses the version.
#![no_main]

use millrace_protocols_mqtt::{Version, fuzz};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((&choice, data)) = data.split_first() {
        let version = if choice & 1 == 0 { Version::V311 } else { Version::V5 };
        fuzz::server_packets(version, data);
    }
});
