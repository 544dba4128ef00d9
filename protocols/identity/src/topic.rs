//! The telemetry topic of one identity. Other topics of the hub come with the parts that serve them.
//! - Shape: `devices/{device}/messages/events[/[?]{bag}[/]]`, for a module `devices/{device}/modules/{module}/messages/events..`
//! - Hot path: called for each PUBLISH whose topic is new to its session; compares prefixes, allocates nothing.

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
    use super::telemetry_bag;

    #[test]
    fn reads_the_bag_of_a_device() {
        for (tail, bag) in [("", ""), ("/", ""), ("/?a=b", "?a=b"), ("/a=b&c=d/", "a=b&c=d/"), ("/a=/b", "a=/b")] {
            let topic = format!("devices/d1/messages/events{tail}");
            assert_eq!(telemetry_bag(&topic, "d1", None), Some(bag), "{topic}");
        }
    }

    #[test]
    fn reads_the_bag_of_a_module() {
        let topic = "devices/d1/modules/m1/messages/events/%24.on=out1&k=v/";
        assert_eq!(telemetry_bag(topic, "d1", Some("m1")), Some("%24.on=out1&k=v/"));
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
        }
    }
}
