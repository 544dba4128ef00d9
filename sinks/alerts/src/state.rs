//! What survives a restart, as bytes: devices with their rule states, offsets, and the events that wait.
//! - Shape: a frame is a base (everything) or a delta (what changed since the frame before): kind u8 | alive until i64 |
//!   rule fingerprints | shards (shard, offset, newest time) | removed keys | devices (key, record) | waiting events | done events.
//! - Invariants: applying all frames in order gives the state at the last one; a record replaces the device's earlier one.
//!   Rules are matched by fingerprint, so a changed rule starts afresh and the others keep their state.
//! - Not here: the file (`store.rs`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millrace_model::{Offset, ShardId, Timestamp};

use crate::devices::Device;
use crate::encode::{Reader, Writer};
use crate::event::Cause;
use crate::limits::WINDOW_BUCKETS;
use crate::queue::Waiting;
use crate::rule::{Firing, RuleState};
use crate::window::{Bucket, Window};

const BASE: u8 = 1;
const DELTA: u8 = 2;
const FIRING: u8 = 1;
const WINDOW: u8 = 2;

/// How far a shard has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Everything below is in the state.
    pub(crate) offset: Offset,
    /// Time of the newest message seen.
    pub(crate) newest: i64,
}

/// One frame to be written.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// `Some` makes it a base: the fingerprints of all rules, in the order of the records' states.
    pub(crate) rules: Option<Vec<u64>>,
    pub(crate) alive_until: i64,
    pub(crate) shards: Vec<(ShardId, Applied)>,
    pub(crate) removed: Vec<Box<str>>,
    /// Count of the records in `records`.
    pub(crate) devices: usize,
    pub(crate) records: Writer,
    pub(crate) waiting: Vec<(String, Arc<Waiting>)>,
    pub(crate) done: Vec<(String, u64)>,
}

impl Frame {
    /// Adds the record of a device.
    pub(crate) fn add_device(&mut self, device: &Device) {
        self.devices += 1;
        self.records.bytes(device.key.as_bytes());
        self.records.prefixed(|record| write_device(record, device));
    }

    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(self.records.0.len() + 256));
        out.u8(if self.rules.is_some() { BASE } else { DELTA });
        out.i64(self.alive_until);
        let rules = self.rules.as_deref().unwrap_or_default();
        out.length(rules.len());
        rules.iter().for_each(|&rule| out.u64(rule));
        out.length(self.shards.len());
        for (shard, applied) in &self.shards {
            out.u16(shard.0);
            out.u64(applied.offset.0);
            out.i64(applied.newest);
        }
        out.length(self.removed.len());
        self.removed.iter().for_each(|key| out.bytes(key.as_bytes()));
        out.length(self.devices);
        out.0.extend_from_slice(&self.records.0);
        out.length(self.waiting.len());
        for (queue, waiting) in &self.waiting {
            out.bytes(queue.as_bytes());
            write_waiting(&mut out, waiting);
        }
        out.length(self.done.len());
        for (queue, number) in &self.done {
            out.bytes(queue.as_bytes());
            out.u64(*number);
        }
        out.0
    }
}

/// The state that a row of frames adds up to. Records stay bytes until somebody asks.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Image {
    pub(crate) rules: Vec<u64>,
    pub(crate) alive_until: Option<i64>,
    pub(crate) shards: BTreeMap<ShardId, Applied>,
    pub(crate) devices: HashMap<Box<str>, Box<[u8]>>,
    pub(crate) waiting: BTreeMap<(String, u64), Arc<Waiting>>,
}

impl Image {
    /// Applies one frame; `None` when it is not one.
    pub(crate) fn apply(&mut self, frame: &[u8]) -> Option<()> {
        let mut from = Reader(frame);
        match from.u8()? {
            BASE => *self = Self::default(),
            DELTA => {}
            _ => return None,
        }
        self.alive_until = Some(from.i64()?);
        for _ in 0..from.u32()? {
            self.rules.push(from.u64()?);
        }
        for _ in 0..from.u32()? {
            let (shard, offset, newest) = (ShardId(from.u16()?), Offset(from.u64()?), from.i64()?);
            self.shards.insert(shard, Applied { offset, newest });
        }
        for _ in 0..from.u32()? {
            self.devices.remove(from.text()?);
        }
        for _ in 0..from.u32()? {
            let (key, record) = (from.text()?, from.bytes()?);
            self.devices.insert(key.into(), record.into());
        }
        for _ in 0..from.u32()? {
            let (queue, waiting) = (from.text()?.to_owned(), read_waiting(&mut from)?);
            self.waiting.insert((queue, waiting.number), Arc::new(waiting));
        }
        for _ in 0..from.u32()? {
            let (queue, number) = (from.text()?.to_owned(), from.u64()?);
            self.waiting.remove(&(queue, number));
        }
        from.0.is_empty().then_some(())
    }

    /// The whole state as one base frame.
    pub(crate) fn to_base(&self) -> Vec<u8> {
        let mut frame = Frame {
            rules: Some(self.rules.clone()),
            alive_until: self.alive_until.unwrap_or(i64::MIN),
            shards: self.shards.iter().map(|(&shard, &applied)| (shard, applied)).collect(),
            devices: self.devices.len(),
            waiting: self.waiting.iter().map(|((queue, _), event)| (queue.clone(), Arc::clone(event))).collect(),
            ..Frame::default()
        };
        for (key, record) in &self.devices {
            frame.records.bytes(key.as_bytes());
            frame.records.bytes(record);
        }
        frame.encode()
    }

    /// The devices, their states put in the order of `rules` (fingerprints). Unreadable ones are left out.
    pub(crate) fn restore<'a>(&'a self, rules: &'a [u64]) -> impl Iterator<Item = Device> + 'a {
        let places: Vec<Option<usize>> = self.rules.iter().map(|old| rules.iter().position(|new| new == old)).collect();
        self.devices.iter().filter_map(move |(key, record)| read_device(key, record, &places, rules.len()))
    }
}

fn write_cause(out: &mut Writer, cause: &Cause) {
    out.u16(cause.shard.0);
    out.u64(cause.offset.0);
    out.i64(cause.at.0);
}

fn read_cause(from: &mut Reader<'_>) -> Option<Cause> {
    Some(Cause { shard: ShardId(from.u16()?), offset: Offset(from.u64()?), at: Timestamp(from.i64()?) })
}

fn write_device(out: &mut Writer, device: &Device) {
    write_cause(out, &device.last);
    out.i64(device.quiet_since);
    out.length(device.states.len());
    for state in &device.states {
        let flags = if state.firing.is_some() { FIRING } else { 0 } | if state.window.is_some() { WINDOW } else { 0 };
        out.u8(flags);
        out.i64(state.fired_last);
        if let Some(firing) = &state.firing {
            write_cause(out, &firing.cause);
            out.i64(firing.at.0);
            out.f64(firing.value);
        }
        if let Some(window) = &state.window {
            write_window(out, window);
        }
    }
}

fn read_device(key: &str, record: &[u8], places: &[Option<usize>], rules: usize) -> Option<Device> {
    let mut from = Reader(record);
    let last = read_cause(&mut from)?;
    let quiet_since = from.i64()?;
    let mut states = vec![RuleState::default(); rules].into_boxed_slice();
    if usize::try_from(from.u32()?).ok()? != places.len() {
        return None;
    }
    for place in places {
        let flags = from.u8()?;
        let mut state = RuleState { fired_last: from.i64()?, ..RuleState::default() };
        if flags & FIRING != 0 {
            let (cause, at, value) = (read_cause(&mut from)?, Timestamp(from.i64()?), from.f64()?);
            state.firing = Some(Box::new(Firing { cause, at, value }));
        }
        if flags & WINDOW != 0 {
            state.window = Some(Box::new(read_window(&mut from)?));
        }
        if let Some(target) = place.and_then(|place| states.get_mut(place)) {
            *target = state;
        }
    }
    Some(Device { key: key.into(), last, quiet_since, states, dirty: false, recorded: true })
}

fn write_window(out: &mut Writer, window: &Window) {
    out.i64(window.head);
    out.i64(window.latest_at);
    out.f64(window.latest);
    out.i64(window.since);
    let filled = || window.buckets.iter().zip(0_u8..).filter(|(bucket, _)| bucket.count > 0);
    out.u8(u8::try_from(filled().count()).unwrap_or(u8::MAX));
    for (bucket, place) in filled() {
        // In one piece: a frame may hold millions of these, and the sink's thread waits for it.
        let mut bytes = [0; 17];
        bytes[0] = place;
        bytes[1..5].copy_from_slice(&bucket.count.to_le_bytes());
        bytes[5..9].copy_from_slice(&bucket.first_ms.to_le_bytes());
        bytes[9..17].copy_from_slice(&bucket.value.to_le_bytes());
        out.0.extend_from_slice(&bytes);
    }
}

fn read_window(from: &mut Reader<'_>) -> Option<Window> {
    let mut window = Window::new();
    window.head = from.i64()?;
    window.latest_at = from.i64()?;
    window.latest = from.f64()?;
    window.since = from.i64()?;
    for _ in 0..from.u8()? {
        let place = usize::from(from.u8()?);
        let (count, first_ms, value) = (from.u32()?, from.u32()?, from.f64()?);
        *window.buckets.get_mut(place)? = Bucket { value, count, first_ms };
    }
    Some(window)
}

fn write_waiting(out: &mut Writer, waiting: &Waiting) {
    out.u64(waiting.number);
    out.i64(waiting.created.0);
    out.bytes(waiting.id.as_bytes());
    out.bytes(waiting.key.as_bytes());
    out.bytes(&waiting.payload);
}

fn read_waiting(from: &mut Reader<'_>) -> Option<Waiting> {
    Some(Waiting {
        number: from.u64()?,
        created: Timestamp(from.i64()?),
        id: from.text()?.to_owned(),
        key: from.text()?.to_owned(),
        payload: from.bytes()?.to_vec(),
    })
}

// A place in the ring is stored in one byte.
const _: () = assert!(WINDOW_BUCKETS < 256);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Aggregate;

    fn device(key: &str) -> Device {
        let cause = Cause { shard: ShardId(3), offset: Offset(9), at: Timestamp(17_000) };
        let mut window = Window::new();
        for step in 0..40 {
            window.add(Aggregate::Rate, 1000, step * 700, 1.5);
        }
        let firing = Firing { cause, at: Timestamp(18_000), value: 31.0 };
        let states = [
            RuleState { firing: Some(Box::new(firing)), fired_last: 18_000, ..RuleState::default() },
            RuleState { window: Some(Box::new(window)), ..RuleState::default() },
        ];
        Device {
            key: key.into(),
            last: cause,
            quiet_since: 17_000,
            states: states.into(),
            dirty: false,
            recorded: true,
        }
    }

    fn image(frames: &[Frame]) -> Image {
        let mut image = Image::default();
        frames.iter().for_each(|frame| image.apply(&frame.encode()).unwrap());
        image
    }

    fn waiting(number: u64) -> (String, Arc<Waiting>) {
        let event = Waiting { number, created: Timestamp(1), id: "i".into(), key: "k".into(), payload: b"{}".to_vec() };
        ("q".to_owned(), Arc::new(event))
    }

    #[test]
    fn frames_add_up_and_a_base_says_the_same_in_one() {
        let mut first = Frame { rules: Some(vec![11, 22]), waiting: vec![waiting(0), waiting(1)], ..Frame::default() };
        first.add_device(&device("a"));
        first.add_device(&device("b"));
        let applied = Applied { offset: Offset(5), newest: 7 };
        let mut second = Frame {
            alive_until: 99,
            removed: vec!["a".into(), "b".into()],
            shards: vec![(ShardId(1), applied)],
            done: vec![("q".to_owned(), 0)],
            ..Frame::default()
        };
        second.add_device(&device("b"));
        let image = image(&[first, second]);
        assert_eq!(image.restore(&[11, 22]).collect::<Vec<_>>(), [device("b")]);
        assert_eq!((image.alive_until, image.waiting.len(), image.shards[&ShardId(1)]), (Some(99), 1, applied));
        let mut again = Image::default();
        again.apply(&image.to_base()).unwrap();
        assert_eq!(again, image);
    }

    #[test]
    fn states_follow_their_rule_and_a_changed_rule_starts_afresh() {
        let mut frame = Frame { rules: Some(vec![11, 22]), ..Frame::default() };
        frame.add_device(&device("a"));
        let image = image(&[frame]);
        let moved = image.restore(&[33, 22, 11]).next().unwrap();
        let original = device("a");
        assert_eq!(moved.states[0], RuleState::default());
        assert_eq!((&moved.states[1], &moved.states[2]), (&original.states[1], &original.states[0]));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_or_read_but_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..300, value in any::<u8>(),
        ) {
            let mut image = Image::default();
            image.apply(&bytes);
            let mut frame = Frame { rules: Some(vec![11, 22]), waiting: vec![waiting(0)], ..Frame::default() };
            frame.add_device(&device("a"));
            let mut damaged = frame.encode();
            if let Some(byte) = damaged.get_mut(at) {
                *byte = value;
            }
            image.apply(&damaged);
            let _read = image.restore(&[11, 22]).count();
        }
    }
}
