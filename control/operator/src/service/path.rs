//! Paths of calls: ids in any characters become segments that say the same.

use millrace_protocols_identity::sas;

use crate::error::OperatorError;

/// The path of these segments, each encoded.
///
/// # Errors
/// When a segment is empty or only dots: URLs fold these away, encoded or not, so that another path would be called.
pub(crate) fn path(segments: &[&str]) -> Result<String, OperatorError> {
    segments.iter().try_fold(String::new(), |mut path, segment| match *segment {
        "" => Err(OperatorError::usage("an id is empty")),
        "." | ".." => Err(OperatorError::usage("an id of only dots cannot stand in a URL")),
        segment => {
            path.push('/');
            path.push_str(&sas::encode(segment));
            Ok(path)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn ids_stay_one_segment_each() {
        assert_eq!(path(&["devices", "a/b c%?#"]).unwrap(), "/devices/a%2Fb%20c%25%3F%23");
        for bad in ["", ".", ".."] {
            assert_eq!(path(&["devices", bad]).unwrap_err().exit_code(), 2);
        }
    }
}
