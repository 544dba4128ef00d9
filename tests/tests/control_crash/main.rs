//! kill -9 at random instants on the way back to the device: nothing acknowledged is lost, nothing happens twice, versions never go back.
//! `MILLRACE_CRASH_ROUNDS=100 cargo test -p millrace-tests --test control_crash` is the long run.

mod commands;
mod course;
mod registrations;
mod sessions;
mod twins;
