//! WebSocket frames as a server sees them: what a client sends is read where it lies, what is sent is a head in front of it. No I/O.
//! - Source: RFC 6455 section 5.
//! - Shape: fin, opcode u8 | mask, length u8 | length u16 or u64 if 126 or 127 | mask 4 B if from a client | payload
//! - Invariants: a payload is passed on as it comes, in pieces; frames have no bound because nothing of them is kept. Any splitting of
//!   the same bytes gives the same data.
//! - Limits: the payload of a control frame (125 bytes, by the specification).
//! - Errors: the status code to close with.

use std::ops::Range;

/// Longest head that is written: no mask.
pub(super) const HEAD_BYTES_MAX: usize = 10;

/// Longest payload of a control frame.
pub(super) const CONTROL_BYTES_MAX: usize = 125;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Status codes of section 7.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum CloseCode {
    Normal = 1000,
    ProtocolError = 1002,
    Unacceptable = 1003,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// These bytes of what was read are the next ones of the stream.
    Data(Range<usize>),
    /// To be answered with the same payload.
    Ping(Control),
    /// The client says goodbye.
    Close,
}

/// Payload of a control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control {
    bytes: [u8; CONTROL_BYTES_MAX],
    count: usize,
}

/// How far a call came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// So many bytes are done with.
    pub(super) consumed: usize,
    /// What they were; `None`: more are needed.
    pub(super) event: Option<Event>,
}

/// Reads frames.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The head, as far as it has come.
    head: [u8; 14],
    head_count: usize,
    /// Opcode of the frame whose payload is coming.
    opcode: u8,
    is_last: bool,
    mask: [u8; 4],
    /// Of the payload: bytes still to come.
    remaining: u64,
    is_in_payload: bool,
    /// A message has begun and its last frame has not come.
    is_in_message: bool,
    control: Control,
}

impl Decoder {
    pub(super) const fn new() -> Self {
        Self {
            head: [0; 14],
            head_count: 0,
            opcode: 0,
            is_last: true,
            mask: [0; 4],
            remaining: 0,
            is_in_payload: false,
            is_in_message: false,
            control: Control { bytes: [0; CONTROL_BYTES_MAX], count: 0 },
        }
    }

    /// Reads on; removes masks in place. To be called until it consumes nothing.
    pub(super) fn next(&mut self, bytes: &mut [u8]) -> Result<Step, CloseCode> {
        let mut consumed = 0;
        while !self.is_in_payload {
            let Some(&byte) = bytes.get(consumed) else { return Ok(Step { consumed, event: None }) };
            consumed += 1;
            self.take_head(byte)?;
        }
        let rest = bytes.len().saturating_sub(consumed);
        let count = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(rest);
        let range = consumed..consumed + count;
        let payload = bytes.get_mut(range.clone()).unwrap_or_default();
        payload.iter_mut().zip(self.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        self.mask.rotate_left(count % 4);
        self.remaining = self.remaining.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        let event = self.take_payload(bytes, range.clone());
        Ok(Step { consumed: range.end, event })
    }

    fn take_payload(&mut self, bytes: &[u8], range: Range<usize>) -> Option<Event> {
        let is_whole = self.remaining == 0;
        if is_whole {
            self.is_in_payload = false;
            self.head_count = 0;
        }
        if self.opcode < CLOSE {
            self.is_in_message = !(is_whole && self.is_last);
            return (!range.is_empty()).then_some(Event::Data(range));
        }
        self.control.extend(bytes.get(range).unwrap_or_default());
        if !is_whole {
            return None;
        }
        let control = std::mem::replace(&mut self.control, Control::new(&[]));
        match self.opcode {
            PING => Some(Event::Ping(control)),
            CLOSE => Some(Event::Close),
            _ => None,
        }
    }

    /// Takes one byte of a head, and begins the payload when it is whole.
    fn take_head(&mut self, byte: u8) -> Result<(), CloseCode> {
        if let Some(place) = self.head.get_mut(self.head_count) {
            *place = byte;
        }
        self.head_count += 1;
        let [first, second, ..] = self.head;
        match self.head_count {
            1 => return self.check_opcode(first),
            2 => self.check_length(first, second)?,
            _ => {}
        }
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.head_count < 2 + length_bytes + 4 {
            return Ok(());
        }
        let extended = self.head.get(2..2 + length_bytes).unwrap_or_default();
        self.remaining = match length_bytes {
            0 => u64::from(second & 0x7f),
            _ => extended.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        };
        if self.remaining > u64::MAX >> 1 {
            return Err(CloseCode::ProtocolError);
        }
        let mask = self.head.get(2 + length_bytes..self.head_count).unwrap_or_default();
        self.mask = mask.try_into().unwrap_or_default();
        self.opcode = first & 0x0f;
        self.is_last = first & 0x80 != 0;
        self.is_in_payload = true;
        Ok(())
    }

    const fn check_opcode(&self, first: u8) -> Result<(), CloseCode> {
        // Extensions, which nobody was granted, use the three bits between.
        if first & 0x70 != 0 {
            return Err(CloseCode::ProtocolError);
        }
        match first & 0x0f {
            CONTINUATION if self.is_in_message => Ok(()),
            BINARY if !self.is_in_message => Ok(()),
            TEXT if !self.is_in_message => Err(CloseCode::Unacceptable),
            CLOSE | PING | PONG if first & 0x80 != 0 => Ok(()),
            _ => Err(CloseCode::ProtocolError),
        }
    }

    const fn check_length(&self, first: u8, second: u8) -> Result<(), CloseCode> {
        let is_control = first & 0x08 != 0;
        // What a client sends is masked.
        if second & 0x80 == 0 || (is_control && second & 0x7f > 125) {
            return Err(CloseCode::ProtocolError);
        }
        Ok(())
    }
}

impl Control {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut control = Self { bytes: [0; CONTROL_BYTES_MAX], count: 0 };
        control.extend(bytes);
        control
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.count).unwrap_or_default()
    }

    fn extend(&mut self, more: &[u8]) {
        let room = self.bytes.iter_mut().skip(self.count);
        self.count += room.zip(more).map(|(place, byte)| *place = *byte).count();
    }
}

/// Head of a whole frame of data, written so that it ends where the payload begins; answers where it begins.
pub(super) fn write_data_head(room: &mut [u8; HEAD_BYTES_MAX], length: usize) -> usize {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    let [.., low] = length.to_be_bytes();
    let mut head = [0x80 | BINARY, low, 0, 0, 0, 0, 0, 0, 0, 0];
    let count = match length {
        0..126 => 2,
        126..0x1_0000 => {
            head[1] = 126;
            head[2..4].copy_from_slice(&length.to_be_bytes()[6..]);
            4
        }
        _ => {
            head[1] = 127;
            head[2..10].copy_from_slice(&length.to_be_bytes());
            10
        }
    };
    let start = HEAD_BYTES_MAX - count;
    room[start..].copy_from_slice(&head[..count]);
    start
}

/// A whole frame that answers a ping.
pub(super) fn pong(payload: &Control) -> Vec<u8> {
    control_frame(PONG, payload.as_bytes())
}

/// A whole frame that says goodbye.
#[expect(clippy::as_conversions, reason = "the discriminants are the codes")]
pub(super) fn close(code: CloseCode) -> Vec<u8> {
    control_frame(CLOSE, &(code as u16).to_be_bytes())
}

fn control_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, u8::try_from(payload.len()).unwrap_or_default()];
    frame.extend_from_slice(payload);
    frame
}
