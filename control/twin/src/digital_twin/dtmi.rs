//! Ids of models: `dtmi:com:example:Thermostat;1`.
//! - Source: Digital Twin Model Identifier; two-part versions are of DTDL version 3.
//! - Limits: [`DTMI_BYTES_MAX`].

use std::fmt;

use super::is_name;
use crate::limits::DTMI_BYTES_MAX;

/// A valid id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dtmi(Box<str>);

/// Why a text is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DtmiError {
    /// It does not begin as one.
    #[error("a model id begins with \"dtmi:\"")]
    Scheme,
    /// A part of its path.
    #[error("the parts of a model id are letters, digits and _, begin with a letter and do not end with _")]
    Segment,
    /// Its version.
    #[error("a model id ends with ; and a version from 1 to 999999999")]
    Version,
    /// Its length.
    #[error("a model id has at most {DTMI_BYTES_MAX} bytes")]
    Length,
}

impl Dtmi {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// When it breaks the grammar.
    pub fn parse(text: &str) -> Result<Self, DtmiError> {
        if text.len() > DTMI_BYTES_MAX {
            return Err(DtmiError::Length);
        }
        let path = text.strip_prefix("dtmi:").ok_or(DtmiError::Scheme)?;
        let (path, version) = path.split_once(';').ok_or(DtmiError::Version)?;
        if !path.split(':').all(is_name) {
            return Err(DtmiError::Segment);
        }
        let (major, minor) = version.split_once('.').map_or((version, None), |(major, minor)| (major, Some(minor)));
        let is_valid = is_number(major, 9) && minor.is_none_or(|minor| is_number(minor, 6));
        if is_valid { Ok(Self(text.into())) } else { Err(DtmiError::Version) }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether its version has two parts.
    pub(crate) fn has_minor_version(&self) -> bool {
        self.0.rsplit(';').next().is_some_and(|version| version.contains('.'))
    }
}

/// A number from 1 without leading zeros.
fn is_number(text: &str, digits_max: usize) -> bool {
    (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0')
}

impl fmt::Display for Dtmi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_their_grammar() {
        for good in ["dtmi:a;1", "dtmi:com:example:Thermostat;999999999", "dtmi:a_b:c1;1.2"] {
            assert_eq!(Dtmi::parse(good).map(|id| id.to_string()), Ok(good.to_owned()));
        }
        for (bad, why) in [
            ("", DtmiError::Scheme),
            ("DTMI:a;1", DtmiError::Scheme),
            ("dtmi:a", DtmiError::Version),
            ("dtmi:a;", DtmiError::Version),
            ("dtmi:a;0", DtmiError::Version),
            ("dtmi:a;01", DtmiError::Version),
            ("dtmi:a;1.", DtmiError::Version),
            ("dtmi:a;1.2.3", DtmiError::Version),
            ("dtmi:a;1000000000", DtmiError::Version),
            ("dtmi:a;1;2", DtmiError::Version),
            ("dtmi:;1", DtmiError::Segment),
            ("dtmi:a::b;1", DtmiError::Segment),
            ("dtmi:1a;1", DtmiError::Segment),
            ("dtmi:a_;1", DtmiError::Segment),
            ("dtmi:a-b;1", DtmiError::Segment),
        ] {
            assert_eq!(Dtmi::parse(bad), Err(why), "{bad}");
        }
        assert_eq!(Dtmi::parse(&format!("dtmi:{};1", "a".repeat(3000))), Err(DtmiError::Length));
    }
}
