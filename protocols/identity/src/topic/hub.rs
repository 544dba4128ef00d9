//! Topics of twins, direct methods and cloud-to-device messages: those that a device publishes and subscribes to are read, those that it
//! hears are written.
//! - Source: Azure IoT Hub MQTT support; what SDKs were seen to send and to accept.
//! - Shape: `$iothub/twin/GET/?$rid={id}`, `$iothub/twin/PATCH/properties/reported/?$rid={id}[&$version={n}]`,
//!   `$iothub/methods/res/{status}/?$rid={call}`; a module's are the same, because they hold no ids.
//! - Limits: see [`REQUEST_ID_BYTES_MAX`](super::query::REQUEST_ID_BYTES_MAX). A call's number is hexadecimal.
//! - Errors: none; what is not of these shapes is `None`, and the caller closes the connection.

use std::fmt::Write as _;

use millrace_model::door::{Subscription, Subscriptions};

use super::query::Query;

/// What a device asks or answers by publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubPublish<'a> {
    /// It wants its twin.
    ReadTwin {
        /// Given back in the answer.
        request_id: &'a str,
    },
    /// It changes its reported properties.
    PatchReported {
        /// Given back in the answer.
        request_id: &'a str,
        /// Only if they have this version.
        if_version: Option<u64>,
    },
    /// It answers a method call.
    MethodAnswered {
        /// Which.
        call: u64,
        /// In its own meaning.
        status: i32,
    },
}

impl<'a> HubPublish<'a> {
    /// Reads the topic of a PUBLISH.
    #[must_use]
    pub fn parse(topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix("$iothub/")?;
        if let Some(query) = rest.strip_prefix("twin/GET/") {
            return Some(Self::ReadTwin { request_id: Query::new(query)?.request_id()? });
        }
        if let Some(query) = rest.strip_prefix("twin/PATCH/properties/reported/") {
            let query = Query::new(query)?;
            let if_version = query.optional("$version")?.map(number).transpose().ok()?;
            return Some(Self::PatchReported { request_id: query.request_id()?, if_version });
        }
        let (status, query) = rest.strip_prefix("methods/res/")?.split_once('/')?;
        let call = Query::new(query)?.request_id()?;
        Some(Self::MethodAnswered { call: hexadecimal(call)?, status: status.parse().ok()? })
    }
}

/// What a filter subscribes to; `None` when it is not one of this identity's.
#[must_use]
pub fn subscription(
    filter: &str,
    at_least_once: bool,
    device_id: &str,
    module_id: Option<&str>,
) -> Option<Subscriptions> {
    let one = |kind| Some(Subscriptions::one(kind, at_least_once));
    match filter {
        "$iothub/methods/POST/#" => return one(Subscription::Methods),
        "$iothub/twin/res/#" => return one(Subscription::TwinAnswers),
        "$iothub/twin/PATCH/properties/desired/#" => return one(Subscription::Desired),
        _ => {}
    }
    let rest = filter.strip_prefix("devices/")?.strip_prefix(device_id)?;
    let rest = match module_id {
        None => rest,
        Some(module_id) => rest.strip_prefix("/modules/")?.strip_prefix(module_id)?,
    };
    match (rest, module_id) {
        ("/messages/devicebound/#", _) => one(Subscription::Commands),
        ("/inputs/#", Some(_)) => one(Subscription::Inputs),
        // What the C SDK subscribes to.
        ("/#", Some(_)) => Some(one(Subscription::Inputs)?.with(one(Subscription::Commands)?)),
        _ => None,
    }
}

/// Writes the topic of an answer to a twin request.
pub fn write_twin_answer(status: u16, request_id: &str, version: Option<u64>, out: &mut String) {
    append(out, format_args!("$iothub/twin/res/{status}/?$rid={request_id}"));
    if let Some(version) = version {
        append(out, format_args!("&$version={version}"));
    }
}

/// Writes the topic of a change of the desired properties.
pub fn write_desired(version: u64, out: &mut String) {
    append(out, format_args!("$iothub/twin/PATCH/properties/desired/?$version={version}"));
}

/// Writes the topic of a method call.
pub fn write_method(call: u64, name: &str, out: &mut String) {
    append(out, format_args!("$iothub/methods/POST/{name}/?$rid={call:x}"));
}

/// Writes the topic of a cloud-to-device message.
pub fn write_command(device_id: &str, module_id: Option<&str>, bag: &str, out: &mut String) {
    match module_id {
        None => append(out, format_args!("devices/{device_id}/messages/devicebound/{bag}")),
        Some(module_id) => {
            append(out, format_args!("devices/{device_id}/modules/{module_id}/messages/devicebound/{bag}"))
        }
    }
}

pub(super) fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "a string takes whatever there is memory for");
}

fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    // `parse` would also take a plus sign.
    if text.starts_with('+') { "".parse() } else { text.parse() }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok().filter(|_| !text.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_devices_publish() {
        let read = |request_id| Some(HubPublish::ReadTwin { request_id });
        let patch = |request_id, if_version| Some(HubPublish::PatchReported { request_id, if_version });
        let answer = |call, status| Some(HubPublish::MethodAnswered { call, status });
        for (topic, expected) in [
            ("$iothub/twin/GET/?$rid=1", read("1")),
            ("$iothub/twin/GET/?$rid=6b2f-77", read("6b2f-77")),
            ("$iothub/twin/PATCH/properties/reported/?$rid=a", patch("a", None)),
            ("$iothub/twin/PATCH/properties/reported/?$rid=a&$version=7", patch("a", Some(7))),
            ("$iothub/twin/PATCH/properties/reported/?$version=7&$rid=a", patch("a", Some(7))),
            ("$iothub/methods/res/200/?$rid=ff", answer(255, 200)),
            ("$iothub/methods/res/-1/?$rid=0", answer(0, -1)),
        ] {
            assert_eq!(HubPublish::parse(topic), expected, "{topic}");
        }
    }

    #[test]
    fn refuses_what_is_malformed() {
        for topic in [
            "$iothub/twin/GET/",
            "$iothub/twin/GET/?",
            "$iothub/twin/GET/?$rid=",
            "$iothub/twin/GET?$rid=1",
            "$iothub/twin/get/?$rid=1",
            "$iothub/twin/GET/x/?$rid=1",
            "$iothub/twin/res/200/?$rid=1",
            "$iothub/twin/PATCH/properties/desired/?$rid=1",
            "$iothub/twin/PATCH/properties/reported/?$version=1",
            "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=",
            "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=+1",
            "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=1&$version=2",
            "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=18446744073709551616",
            "$iothub/methods/res/?$rid=1",
            "$iothub/methods/res/ok/?$rid=1",
            "$iothub/methods/res/200/?$rid=xyz",
            "$iothub/methods/res/200/1/?$rid=1",
            "$iothub/methods/POST/reboot/?$rid=1",
            "devices/d/messages/events/",
            "",
        ] {
            assert_eq!(HubPublish::parse(topic), None, "{topic}");
        }
    }

    #[test]
    fn filters_belong_to_one_identity() {
        let kinds = |filter, module| -> Option<Vec<Subscription>> {
            let found = subscription(filter, true, "d", module)?;
            Some(Subscriptions::KINDS.into_iter().filter(|kind| found.is_at_least_once(*kind)).collect())
        };
        use Subscription::{Commands, Desired, Inputs, Methods, TwinAnswers};
        for module in [None, Some("m")] {
            assert_eq!(kinds("$iothub/methods/POST/#", module), Some(vec![Methods]));
            assert_eq!(kinds("$iothub/twin/res/#", module), Some(vec![TwinAnswers]));
            assert_eq!(kinds("$iothub/twin/PATCH/properties/desired/#", module), Some(vec![Desired]));
        }
        assert_eq!(kinds("devices/d/messages/devicebound/#", None), Some(vec![Commands]));
        assert_eq!(kinds("devices/d/modules/m/inputs/#", Some("m")), Some(vec![Inputs]));
        assert_eq!(kinds("devices/d/modules/m/#", Some("m")), Some(vec![Commands, Inputs]));
        for filter in [
            "#",
            "+/#",
            "$iothub/#",
            "$iothub/twin/#",
            "devices/d/#",
            "devices/e/messages/devicebound/#",
            "devices/d/modules/m/#",
        ] {
            assert_eq!(kinds(filter, None), None, "{filter}");
        }
        assert_eq!(kinds("devices/d/messages/devicebound/#", Some("m")), None, "its device's");
        assert_eq!(kinds("devices/d/modules/mm/inputs/#", Some("m")), None);
        assert!(!subscription("$iothub/twin/res/#", false, "d", None).unwrap().is_at_least_once(TwinAnswers));
    }

    #[test]
    fn writes_what_devices_hear() {
        let written = |write: &dyn Fn(&mut String)| {
            let mut out = String::new();
            write(&mut out);
            out
        };
        assert_eq!(
            written(&|out| write_twin_answer(204, "r", Some(2), out)),
            "$iothub/twin/res/204/?$rid=r&$version=2"
        );
        assert_eq!(written(&|out| write_twin_answer(200, "r", None, out)), "$iothub/twin/res/200/?$rid=r");
        assert_eq!(written(&|out| write_desired(5, out)), "$iothub/twin/PATCH/properties/desired/?$version=5");
        assert_eq!(written(&|out| write_method(255, "doit", out)), "$iothub/methods/POST/doit/?$rid=ff");
        assert_eq!(written(&|out| write_command("d", None, "a=1", out)), "devices/d/messages/devicebound/a=1");
        assert_eq!(written(&|out| write_command("d", Some("m"), "", out)), "devices/d/modules/m/messages/devicebound/");
    }

    proptest! {
        #[test]
        fn never_panics(topic in "\\$iothub/(twin|methods)/\\PC{0,60}") {
            let parsed = HubPublish::parse(&topic);
            prop_assert!(parsed.is_none() || topic.contains("$rid="));
        }

        #[test]
        fn calls_read_back(call in any::<u64>(), status in any::<i32>()) {
            let topic = format!("$iothub/methods/res/{status}/?$rid={call:x}");
            prop_assert_eq!(HubPublish::parse(&topic), Some(HubPublish::MethodAnswered { call, status }));
        }
    }
}
