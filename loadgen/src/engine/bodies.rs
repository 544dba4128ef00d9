//! Bodies of messages: filler of a given size, a template, or the rows of a trace; with or without a stamp.
//! - Hot path: both buffers belong to the thread and are only cleared; no allocation once they have grown.

use crate::engine::replay::Traces;
use crate::engine::template::{Template, Variables};
use crate::number;
use crate::plan::StampPlace;
use crate::stamp;

/// Where bodies come from.
#[derive(Debug)]
pub(crate) enum Bodies {
    /// A JSON object of this many bytes.
    Filler(usize),
    /// A template.
    Template(Template),
    /// A recorded trace.
    Traces(Traces),
}

/// What is stamped, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamping {
    /// Where the stamp goes.
    pub(crate) place: StampPlace,
    /// The run it names.
    pub(crate) run: u32,
}

/// Length of a stamp in a body beside the digits of the number.
const STAMP_BYTES: usize = "\"stamp\":\"00000000--00000000\",".len();

impl Bodies {
    /// Writes the body of one message to `out` (cleared first); `draft` is scratch space.
    pub(crate) fn write(
        &self,
        connection: u64,
        variables: &Variables<'_>,
        stamping: Stamping,
        draft: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        if stamping.place != StampPlace::Body {
            self.write_plain(connection, variables, out);
            return;
        }
        draft.clear();
        match self {
            Self::Filler(bytes) => {
                let digits = variables.sequence.checked_ilog10().unwrap_or(0) + 1;
                let stamp_bytes = STAMP_BYTES.saturating_add(number::index(u64::from(digits)));
                push_filler(draft, "{\"pad\":\"", bytes.saturating_sub(stamp_bytes));
            }
            Self::Template(_) | Self::Traces(_) => self.write_plain(connection, variables, draft),
        }
        stamp::write_body(stamping.run, variables.device_id, variables.sequence, draft.trim_ascii_start(), out);
    }

    fn write_plain(&self, connection: u64, variables: &Variables<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Filler(bytes) => {
                out.extend_from_slice(b"{\"seq\":");
                number::push_decimal(out, variables.sequence);
                push_filler(out, ",\"pad\":\"", *bytes);
            }
            Self::Template(template) => template.write(variables, out),
            Self::Traces(traces) => out.extend_from_slice(traces.body(connection, variables.sequence)),
        }
    }
}

/// Ends an object with a text that makes it `bytes` long in all, or as short as it can be.
fn push_filler(out: &mut Vec<u8>, opening: &str, bytes: usize) {
    out.extend_from_slice(opening.as_bytes());
    let end = bytes.saturating_sub(2).max(out.len());
    out.resize(end, b'x');
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bodies: &Bodies, place: StampPlace, sequence: u64) -> Vec<u8> {
        let variables = Variables { device_id: "dev-1", device_number: 1, sequence, now_ns: 1, seed: 1 };
        let mut out = Vec::new();
        bodies.write(0, &variables, Stamping { place, run: 9 }, &mut Vec::new(), &mut out);
        out
    }

    #[test]
    fn filler_has_its_size_stamped_or_not_and_is_json() {
        for place in [StampPlace::None, StampPlace::Body, StampPlace::Property] {
            for sequence in [0, 9, 10, 123_456] {
                let body = body(&Bodies::Filler(92), place, sequence);
                assert_eq!(body.len(), 92, "{}", String::from_utf8_lossy(&body));
                assert!(serde_json::from_slice::<serde_json::Value>(&body).unwrap().is_object());
            }
        }
        assert!(serde_json::from_slice::<serde_json::Value>(&body(&Bodies::Filler(3), StampPlace::Body, 1)).is_ok());
    }

    #[test]
    fn a_stamped_template_reads_back() {
        let bodies = Bodies::Template(Template::parse(r#" {"n":{seq}}"#).unwrap());
        let found = stamp::find_in_body("dev-1", &body(&bodies, StampPlace::Body, 77));
        assert_eq!(found, stamp::Finding::Intact { run: 9, sequence: 77 });
    }
}
