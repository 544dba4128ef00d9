//! The report of a verification as text, for people.

use std::fmt::{self, Display, Formatter};

use crate::verify::VerifyReport;

impl Display for VerifyReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "run {} in {}", self.run, self.source)?;
        writeln!(f, "acknowledged {} by {} devices, found {}", self.acknowledged, self.devices, self.found)?;
        writeln!(
            f,
            "lost {}, duplicated {}, reordered {}, corrupt {}; sent again by devices {}, not acknowledged but found {}",
            self.lost, self.duplicated, self.reordered, self.corrupt, self.sent_again, self.unacknowledged_found
        )?;
        if self.foreign > 0 || self.without_offset > 0 || self.ledger_lines_skipped > 0 {
            writeln!(
                f,
                "not of this run {}, without offset {}, ledger lines skipped {}",
                self.foreign, self.without_offset, self.ledger_lines_skipped
            )?;
        }
        for example in self.lost_examples.iter().map(|text| format!("lost: {text}")).chain(self.other_examples.clone())
        {
            writeln!(f, "  {example}")?;
        }
        writeln!(f, "verdict {}", if self.is_ok { "ok" } else { "FAILED" })
    }
}
