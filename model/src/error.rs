//! The classes every boundary error falls into, so that a driver can act without knowing the error.

/// What went wrong, in the words of the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Input that breaks its specification.
    Malformed,
    /// Who is speaking could not be established.
    Unauthenticated,
    /// Known, but not allowed.
    Forbidden,
    /// The thing named does not exist.
    NotFound,
    /// The thing named is in another state than the caller thinks.
    Conflict,
    /// Refused for now, to keep within a limit.
    Throttled,
    /// A needed part does not answer.
    Unavailable,
    /// Stored data does not match its checksum or shape.
    Corrupt,
    /// A broken promise of this program.
    Bug,
}

/// Who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device or its owner.
    Device,
    /// Who runs this hub.
    Operator,
    /// A system behind a sink or store.
    Downstream,
    /// The authors of this program.
    Us,
}

/// Whether the same call may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same input fails again.
    Never,
    /// Try again after a pause.
    Later,
}

/// Implemented by every error that crosses a boundary.
pub trait Classify {
    /// What went wrong.
    fn kind(&self) -> Kind;

    /// Who has to act.
    fn fault(&self) -> Fault {
        match self.kind() {
            Kind::Malformed
            | Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::Conflict
            | Kind::Throttled => Fault::Device,
            Kind::Unavailable => Fault::Downstream,
            Kind::Corrupt => Fault::Operator,
            Kind::Bug => Fault::Us,
        }
    }

    /// Whether to try again.
    fn retry(&self) -> Retry {
        match self.kind() {
            Kind::Throttled | Kind::Unavailable => Retry::Later,
            _ => Retry::Never,
        }
    }
}
