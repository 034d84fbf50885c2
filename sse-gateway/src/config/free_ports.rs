//! Which addresses may give way when they are in use.

#[cfg(feature = "demo")]
use super::{Sources, setting::Setting};

/// The listeners that take any free port when theirs is in use. By default none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FreePorts {
    pub(crate) listen: bool,
    pub(crate) admin_listen: bool,
}

#[cfg(feature = "demo")]
impl FreePorts {
    /// Those whose address nobody gave: whoever gave one counts on it.
    pub(crate) fn for_defaults(sources: &Sources) -> Self {
        let top = sources.top();
        let is_default = |setting| top.iter().all(|values| values.get(&setting).is_none());
        FreePorts {
            listen: is_default(Setting::listen()),
            admin_listen: is_default(Setting::admin_listen()),
        }
    }
}
