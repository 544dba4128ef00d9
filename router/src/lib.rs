//! The rule language and the drivers of the sinks.
