//! The telemetry topic of one identity. Twins, methods and commands are in [`hub`], the provisioning service in [`provisioning`].
//! - Shape: `devices/{device}/messages/events[/[?]{bag}[/]]`, for a module `devices/{device}/modules/{module}/messages/events..`
//! - Hot path: [`bag_behind`] runs for each PUBLISH; it compares one prefix and allocates nothing.

pub mod hub;
pub mod provisioning;
pub mod query;

/// The telemetry topic of an identity, without what may follow it: [`bag_behind`] reads that.
#[must_use]
pub fn telemetry_topic(device_id: &str, module_id: Option<&str>) -> String {
    match module_id {
        None => format!("devices/{device_id}/messages/events"),
        Some(module_id) => format!("devices/{device_id}/modules/{module_id}/messages/events"),
    }
}

/// The property bag in `topic`, empty when there is none; `None` when it does not begin with `telemetry_topic`.
#[must_use]
#[inline]
pub fn bag_behind<'a>(topic: &'a str, telemetry_topic: &str) -> Option<&'a str> {
    let rest = topic.strip_prefix(telemetry_topic)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// The property bag in `topic`, empty when there is none; `None` when `topic` is not this identity's telemetry topic.
///
/// The bag is as it was sent: `model::bag` knows that a leading `?` and one closing `/` are not part of it.
#[must_use]
#[inline]
pub fn telemetry_bag<'a>(topic: &'a str, device_id: &str, module_id: Option<&str>) -> Option<&'a str> {
    let mut rest = topic.strip_prefix("devices/")?.strip_prefix(device_id)?;
    if let Some(module_id) = module_id {
        rest = rest.strip_prefix("/modules/")?.strip_prefix(module_id)?;
    }
    let rest = rest.strip_prefix("/messages/events")?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::{bag_behind, telemetry_bag, telemetry_topic};

    #[test]
    fn reads_the_bag_of_a_device() {
        for (tail, bag) in [("", ""), ("/", ""), ("/?a=b", "?a=b"), ("/a=b&c=d/", "a=b&c=d/"), ("/a=/b", "a=/b")] {
            let topic = format!("devices/d1/messages/events{tail}");
            assert_eq!(telemetry_bag(&topic, "d1", None), Some(bag), "{topic}");
            assert_eq!(bag_behind(&topic, &telemetry_topic("d1", None)), Some(bag), "{topic}");
        }
    }

    #[test]
    fn reads_the_bag_of_a_module() {
        let topic = "devices/d1/modules/m1/messages/events/%24.on=out1&k=v/";
        assert_eq!(telemetry_bag(topic, "d1", Some("m1")), Some("%24.on=out1&k=v/"));
        assert_eq!(bag_behind(topic, &telemetry_topic("d1", Some("m1"))), Some("%24.on=out1&k=v/"));
        assert_eq!(telemetry_bag(topic, "d1", None), None);
        assert_eq!(telemetry_bag(topic, "d1", Some("m")), None);
    }

    #[test]
    fn refuses_the_topic_of_another_identity() {
        for topic in [
            "devices/d10/messages/events/",
            "devices/d/messages/events/",
            "devices/D1/messages/events/",
            "devices/d1/messages/eventsx",
            "devices/d1/messages/devicebound/",
            "devices/d1/modules/m1/messages/events/",
            "/devices/d1/messages/events/",
            "devices/",
            "",
        ] {
            assert_eq!(telemetry_bag(topic, "d1", None), None, "{topic}");
            assert_eq!(bag_behind(topic, &telemetry_topic("d1", None)), None, "{topic}");
        }
    }
}
