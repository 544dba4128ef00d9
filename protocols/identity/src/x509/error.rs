//! Why a certificate, a chain or a revocation list is refused.
//! - Invariants: no text from a certificate is part of an error, because it goes into logs unasked.

use millrace_model::{Classify, Kind};

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum X509Error {
    /// Bytes that are not a certificate or revocation list, or are too large to be looked at.
    #[error("not a certificate or revocation list that can be read")]
    Malformed,
    /// No certificate where at least one is needed.
    #[error("there is no certificate")]
    Missing,
    /// More certificates than a chain may have, or too many ways through them.
    #[error("the chain has too many certificates")]
    TooMany,
    /// Its time has not come.
    #[error("a certificate is not valid yet")]
    NotYetValid,
    /// Its time is over.
    #[error("a certificate has expired")]
    Expired,
    /// The chain leads to nobody who was registered.
    #[error("no registered authority issued the certificate")]
    UnknownIssuer,
    /// A signature is wrong, or made in a way that is not accepted.
    #[error("a signature does not fit")]
    Signature,
    /// It was called back.
    #[error("a certificate was revoked")]
    Revoked,
    /// A revocation list whose signature does not fit its issuer.
    #[error("a revocation list cannot be trusted")]
    RevocationList,
    /// Made for something else than to show who a client is.
    #[error("the certificate is not meant for clients")]
    Purpose,
    /// An authority below one that allows fewer levels, or a name outside of those that it may give.
    #[error("an authority issued what it may not issue")]
    Constraint,
    /// An authority is needed here, and it is none.
    #[error("the certificate is not that of an authority")]
    NotAuthority,
    /// Made out to somebody else.
    #[error("the certificate is made out to another name")]
    Name,
}

impl Classify for X509Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Malformed | Self::Missing | Self::TooMany | Self::NotAuthority => Kind::Malformed,
            _ => Kind::Unauthenticated,
        }
    }
}

impl From<webpki::Error> for X509Error {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error;
        match error {
            Error::CertExpired { .. } => Self::Expired,
            Error::CertNotValidYet { .. } => Self::NotYetValid,
            Error::CertRevoked => Self::Revoked,
            Error::UnknownIssuer => Self::UnknownIssuer,
            Error::InvalidSignatureForPublicKey
            | Error::SignatureAlgorithmMismatch
            | Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::Signature,
            Error::InvalidCrlSignatureForPublicKey
            | Error::IssuerNotCrlSigner
            | Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => Self::RevocationList,
            Error::RequiredEkuNotFoundContext(_) | Error::CaUsedAsEndEntity => Self::Purpose,
            Error::PathLenConstraintViolated | Error::NameConstraintViolation | Error::EndEntityUsedAsCa => {
                Self::Constraint
            }
            Error::MaximumPathBuildCallsExceeded
            | Error::MaximumPathDepthExceeded
            | Error::MaximumSignatureChecksExceeded
            | Error::MaximumNameConstraintComparisonsExceeded => Self::TooMany,
            _ => Self::Malformed,
        }
    }
}
