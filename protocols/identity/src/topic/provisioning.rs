//! Topics of the provisioning service.
//! - Source: Azure Device Provisioning Service over MQTT, and what SDKs were seen to send and to accept.
//! - Shape: `$dps/registrations/PUT/iotdps-register/?$rid={id}` and
//!   `$dps/registrations/GET/iotdps-get-operationstatus/?$rid={id}&operationId={operation}`, answered on `$dps/registrations/res/..`.
//! - Invariants: an answer's topic has exactly two `$`, because a client splits it there.
//! - Limits: an operation id has 1 to [`OPERATION_ID_BYTES_MAX`] bytes.

use super::hub::append;
use super::query::{Query, is_token};

/// The one filter that a registration session subscribes to.
pub const ANSWERS_FILTER: &str = "$dps/registrations/res/#";

/// Longest operation id.
pub const OPERATION_ID_BYTES_MAX: usize = 128;

/// What a device asks by publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProvisioningPublish<'a> {
    /// To be registered.
    Register {
        /// Given back in the answer.
        request_id: &'a str,
    },
    /// How far its registration is.
    Status {
        /// Given back in the answer.
        request_id: &'a str,
        /// Which registration.
        operation_id: &'a str,
    },
}

impl<'a> ProvisioningPublish<'a> {
    /// Reads the topic of a PUBLISH.
    #[must_use]
    pub fn parse(topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix("$dps/registrations/")?;
        if let Some(query) = rest.strip_prefix("PUT/iotdps-register/") {
            return Some(Self::Register { request_id: Query::new(query)?.request_id()? });
        }
        let query = Query::new(rest.strip_prefix("GET/iotdps-get-operationstatus/")?)?;
        let operation_id = query.optional("operationId")?.filter(|id| is_token(id, OPERATION_ID_BYTES_MAX))?;
        Some(Self::Status { request_id: query.request_id()?, operation_id })
    }
}

/// Writes the topic of an answer.
pub fn write_answer(status: u16, request_id: &str, retry_after: Option<u32>, out: &mut String) {
    append(out, format_args!("$dps/registrations/res/{status}/?$rid={request_id}"));
    if let Some(seconds) = retry_after {
        append(out, format_args!("&retry-after={seconds}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_devices_publish() {
        let register = ProvisioningPublish::parse("$dps/registrations/PUT/iotdps-register/?$rid=u-1");
        assert_eq!(register, Some(ProvisioningPublish::Register { request_id: "u-1" }));
        let status = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=u-2&operationId=4.0f.00-11";
        let expected = ProvisioningPublish::Status { request_id: "u-2", operation_id: "4.0f.00-11" };
        assert_eq!(ProvisioningPublish::parse(status), Some(expected));
        for topic in [
            "$dps/registrations/PUT/iotdps-register/",
            "$dps/registrations/PUT/iotdps-register/?$rid=",
            "$dps/registrations/PUT/iotdps-register/?$rid=a$b",
            "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1",
            "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=a/b",
            "$dps/registrations/res/200/?$rid=1",
            "$iothub/twin/GET/?$rid=1",
            "devices/registrations/messages/events/",
        ] {
            assert_eq!(ProvisioningPublish::parse(topic), None, "{topic}");
        }
    }

    #[test]
    fn answers_have_two_dollar_signs() {
        let mut out = String::new();
        write_answer(202, "u-1", Some(3), &mut out);
        assert_eq!(out, "$dps/registrations/res/202/?$rid=u-1&retry-after=3");
        assert_eq!(out.matches('$').count(), 2);
        out.clear();
        write_answer(200, "u-1", None, &mut out);
        assert_eq!(out, "$dps/registrations/res/200/?$rid=u-1");
    }
}
