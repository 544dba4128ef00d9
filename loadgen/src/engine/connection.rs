//! One connection: a device, its place in the protocol, its schedule and its unacknowledged messages.
//! - Shape: idle -> connecting (TCP, TLS) -> greeting (CONNECT sent) -> open -> waiting (for the next attempt) -> connecting ...
//! - Invariants: what was sent with QoS 1 stays in flight until it is acknowledged, over reconnections, and is sent again first
//!   and in order. The times of messages are those of the schedule, however late they are sent.
//! - Limits: a window of unacknowledged messages; nothing new is written while the socket is full.
//! - Hot path: `receive` and `pump` use the thread's buffers; an idle connection owns none.

mod window;

use millrace_protocols_mqtt::client::{self, ServerPacket};

use crate::engine::packets::{self, Outgoing};
use crate::engine::schedule::{NEVER, Schedule};
use crate::engine::settings::Settings;
use crate::engine::transport::Transport;
use crate::engine::worker::Turn;
use crate::ledger::Acknowledged;
use crate::number;
use crate::report::Tally;

pub(crate) use window::{InFlight, Window};

/// A packet of the server to a publisher is small; anything longer is not MQTT.
const SERVER_PACKET_BYTES_MAX: u32 = 64 * 1024;
/// Output is handed to the socket when it is this long.
const OUTPUT_BYTES: usize = 64 * 1024;
/// Messages of one connection in one go, so that the others get their turn.
const BURST_MAX: usize = 1_024;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not yet, or not any more.
    Idle,
    /// TCP under way.
    Connecting,
    /// CONNECT sent (TLS may still be under way).
    Greeting,
    /// Accepted.
    Open,
    /// Until the next attempt.
    Waiting,
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// CONNACK with this code.
    Refused(u8),
    /// DISCONNECT with this reason.
    Disconnected(u8),
    /// The server closed it.
    Closed,
    /// No answer in time.
    TimedOut,
    /// What the server sent is not MQTT.
    Malformed,
    /// Cut by the plan.
    Cut,
    /// The socket or TLS failed.
    Failed(std::io::Error),
}

impl Ending {
    /// Its name in the report: one of a few.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Refused(code) => format!("connack {code}"),
            Self::Disconnected(reason) => format!("disconnect {reason}"),
            Self::Closed => "closed by server".to_owned(),
            Self::TimedOut => "timed out".to_owned(),
            Self::Malformed => "malformed packet".to_owned(),
            Self::Cut => "cut by plan".to_owned(),
            Self::Failed(error) if error.kind() == std::io::ErrorKind::InvalidData => "tls failed".to_owned(),
            Self::Failed(error) => error.kind().to_string(),
        }
    }
}

impl From<std::io::Error> for Ending {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error)
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Number within the process.
    pub(crate) index: usize,
    /// Device id.
    pub(crate) id: String,
    /// Where it is.
    pub(crate) state: State,
    /// When it means to send.
    pub(crate) schedule: Schedule,
    /// Number of its next message.
    pub(crate) sequence: u64,
    /// What is not acknowledged.
    pub(crate) window: Window,
    /// What is.
    pub(crate) acknowledged: Acknowledged,
    /// Whether the ledger doesn't know all of it.
    pub(crate) is_unwritten: bool,
    /// Instant of its timer in the thread's heap; `NEVER` for none.
    pub(crate) timer_ns: u64,
    /// Start of the last attempt.
    pub(crate) attempt_ns: u64,
    /// Attempts since it was open.
    pub(crate) attempts: u32,
    /// Whether it was open at least once.
    pub(crate) was_open: bool,
    topic: String,
    transport: Option<Transport>,
    /// Bytes the socket didn't take.
    unwritten: Vec<u8>,
    /// Start of a packet whose rest hasn't come.
    carry: Vec<u8>,
    last_write_ns: u64,
    /// The server or the window is in the way of messages that are due.
    is_held: bool,
}

impl Connection {
    /// A connection that hasn't begun.
    pub(crate) fn new(index: usize, settings: &Settings) -> Self {
        let id = settings.fleet.id(index);
        Self {
            index,
            topic: settings.topic(&id),
            id,
            state: State::Idle,
            schedule: Schedule::silent(),
            sequence: 0,
            window: Window::default(),
            acknowledged: Acknowledged::default(),
            is_unwritten: false,
            timer_ns: NEVER,
            attempt_ns: 0,
            attempts: 0,
            was_open: false,
            transport: None,
            unwritten: Vec::new(),
            carry: Vec::new(),
            last_write_ns: 0,
            is_held: false,
        }
    }

    /// Takes over a socket that is connecting.
    pub(crate) fn begin(&mut self, transport: Transport) {
        self.transport = Some(transport);
    }

    /// Lets go of the socket.
    pub(crate) fn end(&mut self, state: State) -> Option<Transport> {
        self.state = state;
        self.unwritten = Vec::new();
        self.carry = Vec::new();
        self.is_held = true;
        self.transport.take()
    }

    /// Serves an event of the socket.
    pub(crate) fn ready(&mut self, readable: bool, turn: &mut Turn) -> Result<(), Ending> {
        if self.state == State::Connecting {
            let Some(transport) = &self.transport else { return Ok(()) };
            if !transport.is_connected()? {
                return Ok(());
            }
            self.greet(turn)?;
        }
        if readable {
            self.receive(turn)?;
        }
        // After reading: a TLS handshake goes on with what was read.
        if let Some(transport) = &mut self.transport {
            transport.flush()?;
        }
        if !self.unwritten.is_empty() {
            self.write_rest()?;
        }
        if self.state == State::Open { self.pump(turn) } else { Ok(()) }
    }

    /// Sends what is due, as far as window and socket allow.
    pub(crate) fn pump(&mut self, turn: &mut Turn) -> Result<(), Ending> {
        if self.state != State::Open || !turn.is_sending {
            return Ok(());
        }
        let mut output = std::mem::take(&mut turn.output);
        output.clear();
        for _ in 0..BURST_MAX {
            let Some(due_ns) = self.due_ns(&turn.settings).filter(|&due_ns| due_ns <= turn.now_ns) else {
                self.is_held = false;
                break;
            };
            if self.window.len() >= turn.window_max || !self.unwritten.is_empty() {
                self.is_held = true;
                break;
            }
            self.publish(due_ns, turn, &mut output);
            if output.len() >= OUTPUT_BYTES {
                self.write(&output, turn)?;
                output.clear();
            }
        }
        let written = self.write(&output, turn);
        turn.output = output;
        written
    }

    /// When the next message is due; in a closed loop always.
    pub(crate) fn due_ns(&self, settings: &Settings) -> Option<u64> {
        if let crate::engine::bodies::Bodies::Traces(traces) = &settings.bodies {
            let since = traces.due_ns(number::wide(self.index), self.sequence)?;
            return Some(settings.go_ns().saturating_add(since));
        }
        if settings.plan.window.is_some() { Some(0) } else { Some(self.schedule.next_ns()) }
    }

    /// When this connection wants to be called though nothing comes from the server.
    pub(crate) fn wakes_ns(&self, turn: &Turn) -> u64 {
        let is_free = self.state == State::Open && turn.is_sending && !self.is_blocked(turn);
        if is_free { self.due_ns(&turn.settings).unwrap_or(NEVER) } else { NEVER }
    }

    /// Sends PINGREQ where nothing else was sent for three quarters of the keep alive.
    pub(crate) fn keep_alive(&mut self, turn: &mut Turn) -> Result<(), Ending> {
        let patience_ns = u64::from(turn.settings.plan.keep_alive_seconds) * 750_000_000;
        if self.state != State::Open || patience_ns == 0 || turn.now_ns < self.last_write_ns + patience_ns {
            return Ok(());
        }
        let mut ping = Vec::with_capacity(2);
        client::encode_ping_request(&mut ping);
        self.write(&ping, turn)
    }

    /// Says good-bye, as far as the socket takes it.
    pub(crate) fn leave(&mut self, turn: &Turn) -> Result<(), Ending> {
        if self.state != State::Open {
            return Ok(());
        }
        let mut goodbye = Vec::with_capacity(4);
        client::encode_disconnect(turn.settings.version, &mut goodbye);
        self.write(&goodbye, turn)
    }

    fn is_blocked(&self, turn: &Turn) -> bool {
        self.window.len() >= turn.window_max || !self.unwritten.is_empty()
    }

    fn greet(&mut self, turn: &Turn) -> Result<(), Ending> {
        let mut packet = Vec::with_capacity(256);
        let now_seconds = turn.settings.clock.unix_ns(turn.now_ns) / 1_000_000_000;
        packets::connect(&turn.settings, self.index, &self.id, now_seconds, &mut packet);
        self.state = State::Greeting;
        self.write(&packet, turn)
    }

    fn publish(&mut self, due_ns: u64, turn: &mut Turn, output: &mut Vec<u8>) {
        let is_closed_loop = turn.settings.plan.window.is_some();
        let intended_ns = if is_closed_loop { turn.now_ns } else { due_ns };
        let sequence = self.sequence;
        self.sequence += 1;
        self.schedule.advance();
        let packet_id = (turn.settings.plan.qos > 0).then(|| self.window.push(sequence, intended_ns));
        let start = output.len();
        self.draft(sequence, packet_id, false, turn, output);
        turn.tally.sent += 1;
        turn.tally.sent_bytes += number::wide(output.len() - start);
        if is_closed_loop {
            return;
        }
        if self.is_held {
            turn.tally.late += 1;
        } else {
            turn.tally.lag.record_ns(turn.now_ns.saturating_sub(intended_ns));
        }
    }

    fn draft(&self, sequence: u64, packet_id: Option<u16>, dup: bool, turn: &mut Turn, output: &mut Vec<u8>) {
        let message = Outgoing {
            connection: number::wide(self.index),
            device_id: &self.id,
            topic: &self.topic,
            sequence,
            packet_id,
            dup,
            now_ns: turn.settings.clock.unix_ns(turn.now_ns),
        };
        turn.drafts.publish(&turn.settings, &message, output);
    }

    fn write(&mut self, bytes: &[u8], turn: &Turn) -> Result<(), Ending> {
        if bytes.is_empty() {
            return Ok(());
        }
        let Some(transport) = &mut self.transport else { return Ok(()) };
        self.last_write_ns = turn.now_ns;
        let taken = if self.unwritten.is_empty() { transport.write(bytes)? } else { 0 };
        self.unwritten.extend_from_slice(bytes.get(taken..).unwrap_or_default());
        Ok(())
    }

    fn write_rest(&mut self) -> Result<(), Ending> {
        let Some(transport) = &mut self.transport else { return Ok(()) };
        let taken = transport.write(&self.unwritten)?;
        if taken == self.unwritten.len() {
            self.unwritten = Vec::new();
        } else {
            self.unwritten.drain(..taken);
        }
        Ok(())
    }

    fn receive(&mut self, turn: &mut Turn) -> Result<(), Ending> {
        let mut input = std::mem::take(&mut turn.input);
        let result = self.receive_into(&mut input, turn);
        turn.input = input;
        result
    }

    fn receive_into(&mut self, input: &mut [u8], turn: &mut Turn) -> Result<(), Ending> {
        loop {
            let Some(transport) = &mut self.transport else { return Ok(()) };
            let length = match transport.read(input) {
                Ok(0) => return Err(Ending::Closed),
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            // A short read of a plain socket has emptied it: the next bytes make a new edge.
            let is_drained = !transport.is_tls() && length < input.len();
            self.parse(input.get(..length).unwrap_or_default(), turn)?;
            if is_drained {
                return Ok(());
            }
        }
    }

    fn parse(&mut self, bytes: &[u8], turn: &mut Turn) -> Result<(), Ending> {
        let mut carried = std::mem::take(&mut self.carry);
        let mut rest = if carried.is_empty() {
            bytes
        } else {
            carried.extend_from_slice(bytes);
            carried.as_slice()
        };
        let version = turn.settings.version;
        while let Some(packet) =
            client::next_server_packet(version, SERVER_PACKET_BYTES_MAX, &mut rest).map_err(|_| Ending::Malformed)?
        {
            self.handle(&packet, turn)?;
        }
        if !rest.is_empty() {
            self.carry = rest.to_vec();
        }
        Ok(())
    }

    fn handle(&mut self, packet: &ServerPacket<'_>, turn: &mut Turn) -> Result<(), Ending> {
        match *packet {
            ServerPacket::PubAck { packet_id, reason } => {
                self.acknowledge(packet_id, reason, turn);
                Ok(())
            }
            ServerPacket::ConnAck { code: 0, .. } if self.state == State::Greeting => self.open(turn),
            ServerPacket::ConnAck { code: 0, .. } => Err(Ending::Malformed),
            ServerPacket::ConnAck { code, .. } => Err(Ending::Refused(code)),
            ServerPacket::Disconnect { reason } => Err(Ending::Disconnected(reason)),
            _ => Ok(()),
        }
    }

    fn acknowledge(&mut self, packet_id: u16, reason: u8, turn: &mut Turn) {
        let Some(InFlight { sequence, intended_ns, .. }) = self.window.take(packet_id) else { return };
        if reason >= 0x80 {
            Tally::count(&mut turn.tally.rejected, format!("puback {reason}"));
            return;
        }
        turn.tally.acknowledged += 1;
        turn.tally.latency.record_ns(turn.now_ns.saturating_sub(intended_ns));
        self.acknowledged.insert(sequence);
        self.is_unwritten = true;
    }

    /// CONNACK: counts, and sends again what was in flight.
    fn open(&mut self, turn: &mut Turn) -> Result<(), Ending> {
        self.state = State::Open;
        turn.tally.connected += 1;
        turn.tally.reconnected += u64::from(self.was_open);
        turn.tally.resumed += u64::from(self.transport.as_ref().is_some_and(Transport::is_resumed));
        turn.tally.connect.record_ns(turn.now_ns.saturating_sub(self.attempt_ns));
        self.was_open = true;
        self.attempts = 0;
        if self.window.len() == 0 {
            return Ok(());
        }
        let mut output = Vec::new();
        for message in self.window.again() {
            self.draft(message.sequence, Some(message.packet_id), true, turn, &mut output);
            turn.tally.sent_again += 1;
        }
        self.write(&output, turn)
    }
}
