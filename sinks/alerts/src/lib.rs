//! Evaluates alert rules and delivers their events.
