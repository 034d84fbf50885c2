//! Which addresses may give way when they are in use.

#[cfg(feature = "demo")]
use super::{
    Place, Sources,
    given::Layers,
    known::{self, Known},
};

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
        let is_default = |setting: &dyn Known| {
            let given = Layers(&top).given(setting);
            given.is_some_and(|given| given.place == Place::Default)
        };
        FreePorts {
            listen: is_default(&known::LISTEN),
            admin_listen: is_default(&known::ADMIN_LISTEN),
        }
    }
}
