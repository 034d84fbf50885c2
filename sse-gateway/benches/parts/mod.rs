//! What the benches that run whole processes have in common.

#![allow(dead_code)] // each uses its part of it

pub(crate) mod event;
pub(crate) mod folder;
pub(crate) mod histogram;
pub(crate) mod machine;
pub(crate) mod nginx;
pub(crate) mod process;
pub(crate) mod response;
pub(crate) mod spread;
