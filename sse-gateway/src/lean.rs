//! Streams without hyper, where they can be. A switch that users are not told of has all by hyper, to compare the two.

use std::sync::LazyLock;

pub(crate) fn is_on() -> bool {
    *IS_ON
}

static IS_ON: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("SSE_GATEWAY_LEAN").is_none_or(|lean| lean != "off"));
