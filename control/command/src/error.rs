//! Why a command or a method call is refused.
//! - Invariants: no variant carries a body or a property.

use millrace_model::{Classify, HubError, Kind};

/// Why a command was not taken, or a queue did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// As many messages wait as may.
    #[error("the device's queue is full")]
    QueueFull,
    /// The lock has run out, was given up or never was.
    #[error("the lock on the message is over")]
    LockLost,
    /// A field cannot be what it is.
    #[error("{field} {problem}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Body and properties together are too large.
    #[error("the message has more than {bytes_max} bytes")]
    TooLarge {
        /// How many it may have.
        bytes_max: usize,
    },
    /// What is stored is not what was once written.
    #[error("the stored {what} cannot be read")]
    Corrupt {
        /// What it is.
        what: &'static str,
    },
}

/// Why a method is not called, or its answer not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    /// Not the JSON that belongs here.
    #[error("the body is not a method call: {0}")]
    Format(String),
    /// A field cannot be what it is.
    #[error("{field} {problem}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The payload is too large.
    #[error("the payload has more than {bytes_max} bytes")]
    TooLarge {
        /// How many it may have.
        bytes_max: usize,
    },
    /// As many calls are under way as may be, to this device or at all.
    #[error("too many method calls are under way")]
    TooMany,
    /// The device has answered something else than JSON.
    #[error("the device's answer is not JSON")]
    Answer,
}

impl Classify for CommandError {
    fn kind(&self) -> Kind {
        match self {
            Self::QueueFull => Kind::Throttled,
            Self::LockLost => Kind::Conflict,
            Self::Field { .. } | Self::TooLarge { .. } => Kind::Malformed,
            Self::Corrupt { .. } => Kind::Corrupt,
        }
    }
}

impl Classify for MethodError {
    fn kind(&self) -> Kind {
        match self {
            Self::Format(_) | Self::Field { .. } | Self::TooLarge { .. } | Self::Answer => Kind::Malformed,
            Self::TooMany => Kind::Throttled,
        }
    }
}

impl From<CommandError> for HubError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::QueueFull => Self::QUEUE_DEPTH,
            CommandError::LockLost => Self::LOCK_LOST,
            CommandError::Field { .. } => Self::ARGUMENT.because(error.to_string()),
            CommandError::TooLarge { .. } => Self::TOO_LARGE.because(error.to_string()),
            CommandError::Corrupt { .. } => Self::SERVER.because(error.to_string()),
        }
    }
}

impl From<MethodError> for HubError {
    fn from(error: MethodError) -> Self {
        match error {
            MethodError::Format(_) | MethodError::Answer => Self::FORMAT.because(error.to_string()),
            MethodError::Field { .. } => Self::ARGUMENT.because(error.to_string()),
            MethodError::TooLarge { .. } => Self::TOO_LARGE.because(error.to_string()),
            MethodError::TooMany => Self::THROTTLED.because(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_hubs_numbers() {
        let too_large = CommandError::TooLarge { bytes_max: 1 };
        let commands = [CommandError::QueueFull, CommandError::LockLost, too_large];
        assert_eq!(commands.map(|error| HubError::from(error).code), [403_004, 412_002, 413_001]);
        let field = MethodError::Field { field: "methodName", problem: "is empty" };
        let methods = [MethodError::TooMany, field, MethodError::Answer];
        assert_eq!(methods.map(|error| HubError::from(error).code), [429_001, 400_004, 400_006]);
        assert_eq!((CommandError::LockLost.kind(), MethodError::TooMany.kind()), (Kind::Conflict, Kind::Throttled));
    }
}
