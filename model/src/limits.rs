//! Bounds that several parts share. A part's own bounds stand in its own `limits.rs`.

/// Largest device-to-cloud message: body and properties together (Azure IoT Hub: 256 KiB).
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A batch is sealed when its buffer reaches this size. Large enough for 10,000 small messages, small enough to stay in the L2 cache.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// A batch is sealed when it holds this many messages.
pub const BATCH_MESSAGES_MAX: usize = 16 * 1024;

/// Most properties that are read from one message; the rest is a reason for the dead-letter.
pub const PROPERTIES_MAX: usize = 1024;

// A sealed batch may overshoot by one message; its buffer is indexed by u32.
const _: () = assert!(BATCH_BYTES_MAX + 2 * MESSAGE_BYTES_MAX < 0x7fff_ffff);
