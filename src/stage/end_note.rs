//! Tells who reads a stream how it ended.

use std::sync::{Arc, OnceLock};

use super::End;

/// How the stream ended that a request gives: put into the extensions of the request by who reads the answer, and written by
/// the pipeline. To a relay a clean end says that all was said, which is not so where a stage has ended the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndNote(Arc<OnceLock<End>>);

impl EndNote {
    /// Only the first end counts: those of the pipelines around it follow from it.
    pub(super) fn write(&self, end: End) {
        let _ = self.0.set(end);
    }

    /// Whether a stage has ended the stream.
    #[cfg(feature = "relay")]
    pub(crate) fn is_by_stage(&self) -> bool {
        matches!(self.0.get(), Some(End::Closed(_) | End::Broken(_)))
    }
}
