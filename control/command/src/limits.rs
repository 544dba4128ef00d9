//! Bounds of commands, feedback and methods.

/// Largest cloud-to-device message: body and properties together (Azure IoT Hub: 64 KiB).
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Longest message id, correlation id or user id, in characters.
pub const ID_CHARACTERS_MAX: usize = 128;

/// Longest content type or content encoding, in bytes.
pub const CONTENT_BYTES_MAX: usize = 256;

/// Most application properties of one message. They are read back by devices with little memory.
pub const PROPERTIES_MAX: usize = 512;

/// Messages that any queue holds at most, whatever is configured. A purge removes each body, writes the queue and at most two
/// batches of feedback: 103 writes, where a store takes 256 at once. An id has 128 characters of at most 4 bytes each in
/// JSON, so an index has at most 100 * 1.5 KiB, where a document may have 1 MiB.
pub const DEPTH_MAX: usize = 100;

/// Longest property bag of a message to a device named "", so that the whole topic fits into the 65,535 bytes that MQTT has for
/// it: `devices//messages/devicebound/` has 30 bytes, the longest id 128 as it is and three times that percent-encoded.
pub const BAG_BYTES_MAX: usize = 65_535 - 30 - 128 - 3 * 128;

/// Longest life of a message, in seconds; a later expiry is brought forward.
pub const TTL_SECONDS_MAX: u64 = 172_800;

/// Shortest and longest lock that a device may ask for, in seconds.
pub const LOCK_SECONDS: std::ops::RangeInclusive<u64> = 5..=300;

/// Records of one feedback message.
pub const FEEDBACK_RECORDS_MAX: usize = 64;

/// How long a feedback message waits for more records.
pub const FEEDBACK_WAIT_MS: i64 = 15_000;

/// Largest payload of a method call, and of its answer (Azure IoT Hub: 128 KiB).
pub const METHOD_PAYLOAD_BYTES_MAX: usize = 128 * 1024;

/// Largest body that asks for a method call: the payload and room for names and time-outs.
pub const METHOD_CALL_BYTES_MAX: usize = METHOD_PAYLOAD_BYTES_MAX + 8 * 1024;

/// Longest method name: component `*` command, each with the 512 characters that DTDL 3 allows.
pub const METHOD_NAME_BYTES_MAX: usize = 512 + 1 + 512;

const _: () = assert!(DEPTH_MAX + 3 <= 256);
const _: () = assert!(METHOD_NAME_BYTES_MAX < 4 * 1024);
