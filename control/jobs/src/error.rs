//! Why a job, a transfer or a configuration is refused.
//! - Invariants: no variant carries a key, a token or the address of a container.

use millrace_control_query::QueryError;
use millrace_model::{Classify, HubError, Kind};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The body is not what belongs there.
    #[error("the body is not what belongs here: {0}")]
    Format(String),
    /// A member cannot be what it is.
    #[error("{member} {why}")]
    Member {
        /// Which.
        member: String,
        /// What is wrong with it.
        why: String,
    },
    /// A condition or query that cannot be understood.
    #[error("{member}: {error}")]
    Query {
        /// Where it stands.
        member: String,
        /// What is wrong with it.
        error: QueryError,
    },
    /// A job of that id is there.
    #[error("a job of that id is there already")]
    Exists,
    /// No such job.
    #[error("no such job")]
    NotFound,
    /// It has ended, so it cannot be cancelled.
    #[error("the job has ended")]
    Ended,
    /// Too many jobs have not ended.
    #[error("too many jobs are active")]
    TooManyActive,
    /// An import or export is under way.
    #[error("an import or export is under way already")]
    TransferActive,
    /// As many configurations as may be.
    #[error("there are as many configurations as there may be")]
    TooManyConfigurations,
    /// A configuration of that id is there.
    #[error("a configuration of that id is there already")]
    ConfigurationExists,
    /// No such configuration.
    #[error("no such configuration")]
    ConfigurationNotFound,
    /// It has another etag.
    #[error("it has changed since it was read")]
    Etag,
    /// It is too large.
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
}

/// More jobs are active than may be.
const ACTIVE_JOBS: HubError = HubError {
    status: 429,
    code: 429_004,
    name: "ThrottlingMaxActiveJobCountExceeded",
    text: std::borrow::Cow::Borrowed("too many jobs are active"),
};

impl JobError {
    /// A member that cannot be what it is.
    pub(crate) fn member(member: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Member { member: member.into(), why: why.into() }
    }
}

impl From<JobError> for HubError {
    fn from(error: JobError) -> Self {
        let hub = match &error {
            JobError::Format(_) => Self::FORMAT,
            JobError::Member { .. } | JobError::Query { .. } => Self::ARGUMENT,
            JobError::Exists => Self::EXISTS,
            JobError::NotFound => Self::JOB_NOT_FOUND,
            JobError::Ended => Self::OPERATION,
            JobError::TooManyActive => ACTIVE_JOBS,
            JobError::TransferActive => Self::JOB_QUOTA,
            JobError::TooManyConfigurations => Self::QUOTA,
            JobError::ConfigurationExists => Self::CONFIGURATION_EXISTS,
            JobError::ConfigurationNotFound => Self::CONFIGURATION_NOT_FOUND,
            JobError::Etag => Self::PRECONDITION,
            JobError::TooLarge(_) => Self::TOO_LARGE,
        };
        hub.because(error.to_string())
    }
}

impl Classify for JobError {
    fn kind(&self) -> Kind {
        match self {
            Self::Format(_) | Self::Member { .. } | Self::Query { .. } | Self::TooLarge(_) => Kind::Malformed,
            Self::Exists | Self::Ended | Self::ConfigurationExists | Self::Etag => Kind::Conflict,
            Self::NotFound | Self::ConfigurationNotFound => Kind::NotFound,
            Self::TooManyActive | Self::TransferActive | Self::TooManyConfigurations => Kind::Throttled,
        }
    }
}
