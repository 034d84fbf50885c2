//! Streams without hyper, where they can be. In debug builds a variable has all by hyper, so that tests compare the two.

use std::sync::LazyLock;

pub(crate) fn is_on() -> bool {
    !cfg!(debug_assertions) || *IS_ON
}

static IS_ON: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("SSE_GATEWAY_LEAN").is_none_or(|lean| lean != "off"));
