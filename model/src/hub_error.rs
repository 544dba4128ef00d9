//! What the hub answers to a request that it refuses: status, numeric code, name and text, and the one JSON body that all SDKs read.
//! - Source: Azure IoT Hub error codes. Node reads `Message` (`ErrorCode:{Name};{text}`), C# and the MQTT twin the number `errorCode`,
//!   Python only the status.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A refusal in the hub's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} ({code}): {text}")]
pub struct HubError {
    /// HTTP status; other protocols map it.
    pub status: u16,
    /// Numeric code.
    pub code: u32,
    /// Its name.
    pub name: &'static str,
    /// What people read; never a secret.
    pub text: Cow<'static, str>,
}

macro_rules! errors {
    ($($(#[$doc:meta])* $constant:ident = $status:literal, $code:literal, $name:literal, $text:literal;)*) => {
        impl HubError {
            $($(#[$doc])* pub const $constant: Self =
                Self { status: $status, code: $code, name: $name, text: Cow::Borrowed($text) };)*
        }
    };
}

errors! {
    /// An argument that cannot be; say which with [`HubError::because`].
    ARGUMENT = 400, 400_004, "ArgumentInvalid", "an argument is not valid";
    /// An argument that is missing.
    ARGUMENT_NULL = 400, 400_005, "ArgumentNull", "an argument is missing";
    /// A body that is not what belongs there.
    FORMAT = 400, 400_006, "IotHubFormatError", "the body is not the JSON that belongs here";
    /// A request that makes no sense here.
    OPERATION = 400, 400_003, "InvalidOperation", "the operation is not valid here";
    /// Some of a bulk call failed.
    BULK = 400, 400_013, "BulkRegistryOperationFailure", "some of the operations failed";
    /// Neither token nor certificate, or one without the permission.
    UNAUTHORIZED = 401, 401_002, "IotHubUnauthorizedAccess", "a valid credential with the needed permission is required";
    /// Quota used up.
    QUOTA = 403, 403_002, "IotHubQuotaExceeded", "the quota is used up";
    /// One import or export at a time.
    JOB_QUOTA = 403, 403_003, "JobQuotaExceeded", "too many jobs are active";
    /// The device's queue holds as many messages as it may.
    QUEUE_DEPTH = 403, 403_004, "DeviceMaximumQueueDepthExceeded", "the device's queue is full";
    /// Uploads at a time.
    UPLOADS = 403, 403_006, "DeviceMaximumActiveFileUploadLimitExceeded", "the device has too many uploads under way";
    /// Disabled devices may not.
    DISABLED = 403, 403_012, "DeviceDisabled", "the device is disabled";
    /// No such device.
    DEVICE_NOT_FOUND = 404, 404_001, "DeviceNotFound", "no such device";
    /// No such job.
    JOB_NOT_FOUND = 404, 404_002, "JobNotFound", "no such job";
    /// No such module.
    MODULE_NOT_FOUND = 404, 404_010, "ModuleNotFound", "no such module";
    /// Nothing of that name.
    RESOURCE_NOT_FOUND = 404, 404_101, "ResourceNotFound", "no such resource";
    /// Not connected, or not listening for methods.
    NOT_ONLINE = 404, 404_103, "DeviceNotOnline", "the device is not connected";
    /// No such configuration.
    CONFIGURATION_NOT_FOUND = 404, 404_402, "ConfigurationNotFound", "no such configuration";
    /// Not with this method.
    METHOD = 405, 405_000, "MethodNotAllowed", "the method is not allowed here";
    /// Such a device is there.
    DEVICE_EXISTS = 409, 409_001, "DeviceAlreadyExists", "the device exists already";
    /// Such a module is there.
    MODULE_EXISTS = 409, 409_301, "ModuleAlreadyExistsOnDevice", "the module exists already";
    /// Such a configuration is there.
    CONFIGURATION_EXISTS = 409, 409_401, "ConfigurationAlreadyExists", "the configuration exists already";
    /// Something of that name is there.
    EXISTS = 409, 409_101, "ResourceConflict", "it exists already";
    /// It has changed since it was read.
    PRECONDITION = 412, 412_001, "PreconditionFailed", "it has changed since it was read";
    /// The lock is over.
    LOCK_LOST = 412, 412_002, "DeviceMessageLockLost", "the lock on the message is over";
    /// Too large.
    TOO_LARGE = 413, 413_001, "MessageTooLarge", "the request is too large";
    /// As many devices as may be.
    TOO_MANY_DEVICES = 413, 413_002, "TooManyDevices", "there are as many devices as there may be";
    /// As many modules as may be.
    TOO_MANY_MODULES = 413, 413_003, "TooManyModulesOnDevice", "the device has as many modules as it may have";
    /// Slow down.
    THROTTLED = 429, 429_001, "ThrottlingException", "too many requests, try again later";
    /// Our own fault.
    SERVER = 500, 500_001, "ServerError", "the hub failed";
    /// Something is away for the moment.
    UNAVAILABLE = 503, 503_001, "ServiceUnavailable", "the hub is not available for the moment";
    /// The device did not answer in time.
    GATEWAY_TIMEOUT = 504, 504_101, "GatewayTimeout", "the device did not answer in time";
}

impl HubError {
    /// The same with another text.
    #[must_use]
    pub fn because(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = text.into();
        self
    }

    /// The JSON body. `tracking_id` is any token that also stands in the log; `time` is RFC 3339.
    #[must_use]
    pub fn body(&self, tracking_id: &str, time: &str) -> String {
        let text = json_text(&self.text);
        format!(
            "{{\"Message\":\"ErrorCode:{};{text}\",\"ExceptionMessage\":\"Tracking ID:{tracking_id}-TimeStamp:{time}\",\
             \"message\":\"{text}\",\"errorCode\":{},\"trackingId\":\"{tracking_id}\",\"timestampUtc\":\"{time}\"}}",
            self.name, self.code
        )
    }
}

/// Escapes for the inside of a JSON string (RFC 8259 section 7).
fn json_text(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control < ' ' => drop(write!(out, "\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_satisfies_all_sdks() {
        let error = HubError::DEVICE_NOT_FOUND.because("no \"d\\1\"\n");
        assert_eq!(
            error.body("0a", "2024-05-01T10:00:00Z"),
            "{\"Message\":\"ErrorCode:DeviceNotFound;no \\\"d\\\\1\\\"\\u000a\",\"ExceptionMessage\":\"Tracking ID:0a-TimeStamp:\
             2024-05-01T10:00:00Z\",\"message\":\"no \\\"d\\\\1\\\"\\u000a\",\"errorCode\":404001,\"trackingId\":\"0a\",\
             \"timestampUtc\":\"2024-05-01T10:00:00Z\"}"
        );
    }
}
