//! The gateway in front of an upstream event stream service.

fn main() {}
