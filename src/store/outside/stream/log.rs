//! Says at the level `debug` who reads the upstream of a stream, and since when.

use super::Stream;
use crate::store::{Acquired, Answer, Appended, Command, Output};

impl Stream {
    pub(super) fn log_output(&self, output: &Output) {
        let stream = &self.name;
        match output {
            Output::Command(Command::Acquire {
                seen, fence, force, ..
            }) => {
                tracing::debug!(%stream, ?seen, ?fence, force, "asks the store for a stream");
            }
            Output::Command(Command::Leave { .. }) => {
                tracing::debug!(%stream, "leaves a stream to others");
            }
            Output::Open(behind) => {
                let resumes = behind.is_some();
                tracing::debug!(%stream, resumes, "reads the upstream of a stream");
            }
            Output::Close => {
                tracing::debug!(%stream, "does not read the upstream of a stream any more")
            }
            Output::Command(_) | Output::Subscribe => {}
        }
    }

    pub(super) fn log_answer(&self, answer: &Answer) {
        let stream = &self.name;
        match answer {
            Answer::Acquired(Acquired::Own(meta)) => {
                tracing::debug!(%stream, fence = ?meta.fence, position = meta.position, "has a stream");
            }
            Answer::Acquired(refused) => {
                tracing::debug!(%stream, ?refused, "was refused a stream");
            }
            Answer::Appended(Appended::Fenced) => {
                tracing::debug!(%stream, "has lost a stream to another");
            }
            _ => {}
        }
    }
}
