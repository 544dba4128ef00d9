//! Bounds of one MQTT connection.
//! - Units: bytes of a whole packet (fixed header included), seconds, counts.
//! - Invariants: what MQTT 5 can announce is announced in CONNACK from the same values that are enforced.

/// Body and properties together of one message at the hub.
const MESSAGE_BYTES_MAX: u32 = 256 * 1024;
/// A topic is at most this long, because its length is a `u16`.
const TOPIC_BYTES_MAX: u32 = 64 * 1024;
/// Fixed header (5), length of the topic (2), packet id (2), length of the properties (4), rounded up.
const HEADER_BYTES_MAX: u32 = 16;
/// The hub closes a connection after 1767 s of silence whatever the client asked for, and silence is 1.5 times the keep-alive.
pub const KEEP_ALIVE_SECONDS_MAX: u16 = 1178;
/// Largest packet that the length field can express: 4 bytes of 7 bits.
pub const REMAINING_LENGTH_MAX: u32 = 0x0fff_ffff;

const _: () = assert!(KEEP_ALIVE_SECONDS_MAX / 2 * 3 == 1767);
const _: () = assert!(MESSAGE_BYTES_MAX + TOPIC_BYTES_MAX + HEADER_BYTES_MAX < REMAINING_LENGTH_MAX);

/// What one connection may use. [`Default`] gives the value named at each field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest packet once connected: 256 KiB message, 64 KiB topic, 16 B of header.
    pub packet_bytes_max: u32,
    /// Largest packet before CONNECT is accepted: 16 KiB. A client with a larger will is refused.
    pub connect_bytes_max: u32,
    /// Most user properties in one packet: 256. More end the connection with 0x97.
    pub user_properties_max: usize,
    /// Most filters in one SUBSCRIBE or UNSUBSCRIBE: 64. More end the connection with 0x97.
    pub filters_max: usize,
    /// Most levels (`/` plus one) of a topic filter: 128. More end the connection with 0x8F.
    pub filter_levels_max: usize,
    /// QoS 1 publishes a v5 client may have unacknowledged: 1024. One more ends the connection with 0x93.
    pub receive_maximum: u16,
    /// Topic aliases a v5 client may use: 10. A larger alias ends the connection with 0x94.
    pub topic_alias_maximum: u16,
    /// Bytes that all aliased topics of one connection may occupy: 16 KiB. More end the connection with 0x97.
    pub topic_alias_bytes_max: usize,
    /// Longest keep-alive granted: 1178 s. Larger wishes, and none at all, get this one.
    pub keep_alive_seconds_max: u16,
    /// Longest session expiry granted to a v5 client: 0, because no session outlives its connection.
    pub session_expiry_seconds_max: u32,
    /// Whether RETAIN is tolerated: true. Nothing is retained; the driver marks such messages. When false, v5 answers 0x9A.
    pub retain_available: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet_bytes_max: MESSAGE_BYTES_MAX + TOPIC_BYTES_MAX + HEADER_BYTES_MAX,
            connect_bytes_max: 16 * 1024,
            user_properties_max: 256,
            filters_max: 64,
            filter_levels_max: 128,
            receive_maximum: 1024,
            topic_alias_maximum: 10,
            topic_alias_bytes_max: 16 * 1024,
            keep_alive_seconds_max: KEEP_ALIVE_SECONDS_MAX,
            session_expiry_seconds_max: 0,
            retain_available: true,
        }
    }
}

/// The keep-alive that counts for a client that asked for `client_seconds`: its own wish within the limit, the limit
/// where it wished for none. The driver closes after one and a half times this silence.
#[must_use]
pub fn effective_keep_alive(limits: &Limits, client_seconds: u16) -> u16 {
    //= [MQTT-3.1.2-22]
    match client_seconds {
        0 => limits.keep_alive_seconds_max,
        wish => wish.min(limits.keep_alive_seconds_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= test
    //= [MQTT-3.1.2-22]
    #[test]
    fn keep_alive_is_capped_and_never_absent() {
        let limits = Limits::default();
        for (wish, expected) in [(0, 1178), (1, 1), (60, 60), (1178, 1178), (1179, 1178), (u16::MAX, 1178)] {
            assert_eq!(effective_keep_alive(&limits, wish), expected, "{wish}");
        }
    }
}
