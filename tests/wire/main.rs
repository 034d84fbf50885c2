//! The wire format: each sentence that the docs promise, each stream cut everywhere.

#![allow(unreachable_pub)] // the modules from `support` have more than one user

#[path = "../support/decoding.rs"]
mod decoding;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../support/oracle.rs"]
mod oracle;

mod cuts;
mod large;
mod matrix;
mod memory;
mod steps;
mod writing;
