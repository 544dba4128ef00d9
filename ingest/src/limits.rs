//! Bounds of the ingest tier, with the arithmetic behind them.

use std::time::Duration;

use millrace_model::limits::MESSAGE_BYTES_MAX;

/// Bytes that one read may take from one socket: large enough that 16 pipelined messages come in one call, small enough that
/// one fast sender does not starve the others of a turn.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Largest unparsed rest that a connection may keep: one whole packet and what one read can add behind it.
pub(crate) const CARRY_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 128 * 1024;

/// Reads from one socket in one turn before the others have theirs.
pub(crate) const READS_PER_TURN: usize = 4;

/// Bytes of replies that wait for a peer that does not read. A PUBACK is 4 bytes, so this is 16,384 of them; a peer that lets
/// more pile up is closed.
pub(crate) const OUTBOX_BYTES_MAX: usize = 64 * 1024;

/// New connections that one listener takes in one turn.
pub(crate) const ACCEPTS_PER_TURN: usize = 128;

/// Readiness events fetched in one turn.
pub(crate) const EVENTS_PER_TURN: usize = 1024;

/// A turn that moved fewer messages and acknowledgements than this may be followed by a pause, so that the next one finds more to
/// do: a turn's fixed cost (two epoll calls, a batch, a wake-up of the journal) would else be paid for a message or two.
pub(crate) const BUSY_TURN_MESSAGES: usize = 64;

/// From the start of a turn to the start of the next when there is a pause. It adds to the latency of an acknowledgement.
pub(crate) const TURN_INTERVAL: Duration = Duration::from_millis(3);

/// From the start of a turn that only acknowledged to the start of the next. The senders whose windows it opened are then read in one
/// turn and not as each of them comes. Nobody waits longer for it: the journal's next sync is a millisecond away.
pub(crate) const ANSWERS_INTERVAL: Duration = Duration::from_micros(300);

/// A shard that moves fewer messages than this in [`PACE_WINDOW`] never pauses: it has time, and its senders want answers.
pub(crate) const PACE_MESSAGES_MIN: usize = 100;

/// How far back the pace of a shard is looked at.
pub(crate) const PACE_WINDOW: Duration = Duration::from_millis(50);

/// How often time-outs, commands and blocked work are looked at when no socket is ready.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Longest silence of a peer whatever keep-alive it asked for (Azure IoT Hub: 29.45 minutes).
pub(crate) const SILENCE_SECONDS_MAX: u32 = 1767;

/// A token is taken this long after its expiry, for clocks that differ.
pub(crate) const TOKEN_SKEW_SECONDS: u64 = 300;

/// PUBACKs that wait for Kafka on one shard: 16 bytes each, so 16 MiB.
pub(crate) const ACKS_WAITING_MAX: usize = 1 << 20;

/// Commands that a shard carries out in one turn; a bulk change of the registry must not hold up acknowledgements.
pub(crate) const COMMANDS_PER_TURN: usize = 256;

/// Time that one turn may spend on reading; whoever is not read then comes first in the next one, after the acknowledgements.
pub(crate) const READING_TIME_MAX: Duration = Duration::from_millis(2);

/// Lines about closed connections that a shard logs in a second; the counters have them all.
pub(crate) const LOG_LINES_PER_SECOND: u32 = 20;

/// Largest TLS record on the wire: header, 16 KiB of content and what encryption adds (RFC 8446 section 5.2, RFC 5246 section 6.2.3).
/// A handshake message that does not fit into it is refused too.
pub(crate) const TLS_RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;

/// Slots of a shard's timer wheel, one a second; a later deadline is looked at again when the wheel has gone round.
pub(crate) const WHEEL_SECONDS: u32 = 2048;

/// Commands that wait for a shard. A full queue makes the sender keep the command and try again.
pub(crate) const COMMANDS_MAX: usize = 16 * 1024;

/// What other threads have for sessions, for each shard; some 100 bytes each. A full queue makes the teller try again.
pub(crate) const TOLD_MAX: usize = 16 * 1024;

/// Messages of other doors that wait for a shard, and those that wait for the journal. More are refused with "try later".
pub(crate) const SUBMISSIONS_MAX: usize = 8 * 1024;

/// Requests of one session that the control side has not answered. The session is not read while there are as many.
pub(crate) const REQUESTS_MAX: u16 = 64;

/// Bytes of such requests: eight reported properties of full size.
pub(crate) const REQUEST_BYTES_MAX: u32 = 256 * 1024;

/// Largest change of reported properties that is handed over: 32 KiB of values may take some more as text.
pub(crate) const PATCH_BYTES_MAX: usize = 128 * 1024;

/// Largest answer to a method call.
pub(crate) const METHOD_BYTES_MAX: usize = 128 * 1024;

/// Largest request of a registration.
pub(crate) const REGISTRATION_BYTES_MAX: usize = 96 * 1024;

/// Longest connection for a registration: polls are seconds apart, and custom allocation may take its time.
pub(crate) const REGISTRATION_SECONDS_MAX: u32 = 3600;

/// Commands of one session that wait for its client's window; a queue holds no more.
pub(crate) const COMMANDS_WAITING_MAX: usize = 64;

/// Other packets that wait for a client's socket.
pub(crate) const DELIVERIES_WAITING_MAX: usize = 256;

/// Their bytes: four method calls of full size.
pub(crate) const DELIVERY_BYTES_WAITING_MAX: usize = 512 * 1024;

const _: () = assert!(DELIVERY_BYTES_WAITING_MAX > 2 * METHOD_BYTES_MAX);
const _: () = assert!(CARRY_BYTES_MAX > MESSAGE_BYTES_MAX + READ_BYTES);
const _: () = assert!(SILENCE_SECONDS_MAX < WHEEL_SECONDS);
