//! A session's begin and end as messages of their own.
//! - Source: Azure IoT Hub non-telemetry events, `deviceConnectionStateEvents`.
//! - Shape: body `{"sequenceNumber":"<64 hex digits>"}`: 16 zeros, 16 of time in ticks of 100 ns since year 1, 16 of the shard's count, 16
//!   zeros.
//! - Invariants: the number grows for each device, because a device's sessions live on one shard; a clock that goes back does not make it
//!   smaller while the hub runs.
//! - Errors: none. Where the journal takes no more, the event is left out and counted.

use millrace_model::batch::IdentitySlot;
use millrace_model::{MessageSource, bag};

use crate::connection::Owner;
use crate::desk::Desk;
use crate::events;

/// 100 ns from year 1 to 1970.
const TICKS_1970: u64 = 621_355_968_000_000_000;

/// Numbers for events, each greater than the one before.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    ticks: u64,
    count: u64,
}

impl Sequence {
    fn next(&mut self, unix_milliseconds: i64) -> String {
        let now = u64::try_from(unix_milliseconds).unwrap_or(0).saturating_mul(10_000).saturating_add(TICKS_1970);
        self.ticks = self.ticks.max(now);
        self.count = self.count.wrapping_add(1);
        format!("{:016X}{:016X}{:016X}{:016X}", 0, self.ticks, self.count, 0)
    }
}

/// Appends the event to the open batch, where such events are wanted.
pub(crate) fn append(desk: &mut Desk, owner: &Owner, slot: &mut IdentitySlot, is_connected: bool) {
    if !desk.has_connection_events {
        return;
    }
    if !desk.can_read() {
        return events::connection_event_dropped();
    }
    let now = desk.clock.timestamp;
    let sequence = desk.sequence.next(now.0);
    let body = format!("{{\"sequenceNumber\":\"{sequence}\"}}");
    let bag = properties(desk, owner, is_connected);
    desk.builder.append(
        &owner.identity,
        slot,
        MessageSource::DeviceConnectionStateEvents,
        now,
        [&bag, b""],
        body.as_bytes(),
    );
    desk.turn_messages += 1;
    desk.turn_bytes += bag.len() + body.len();
}

fn properties(desk: &Desk, owner: &Owner, is_connected: bool) -> Vec<u8> {
    let hub_name = desk.config.hub_name.as_str();
    let time = desk.clock.text();
    let operation = match (owner.name.module_id(), is_connected) {
        (None, true) => "deviceConnected",
        (None, false) => "deviceDisconnected",
        (Some(_), true) => "moduleConnected",
        (Some(_), false) => "moduleDisconnected",
    };
    let pairs = [
        ("$.ct", Some("application/json")),
        ("$.ce", Some("utf-8")),
        ("$.uid", Some(hub_name)),
        ("hubName", Some(hub_name)),
        ("deviceId", Some(owner.name.device_id())),
        ("moduleId", owner.name.module_id()),
        ("operationTimestamp", Some(time.as_str())),
        ("opType", Some(operation)),
        ("iothub-message-schema", Some("deviceConnectionStateNotification")),
    ];
    let mut bag = Vec::with_capacity(256);
    for (key, value) in pairs {
        if let Some(value) = value {
            bag::push(&mut bag, key, value);
        }
    }
    bag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_64_digits_and_grow_also_when_the_clock_goes_back() {
        let mut sequence = Sequence::default();
        let numbers = [1_000, 1_000, 999, 2_000, -1].map(|time| sequence.next(time));
        assert!(numbers.iter().all(|number| number.len() == 64));
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    }
}
