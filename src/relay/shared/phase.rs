//! How far a relay's stream is: without a head, open, refused, or ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::Relay;
use crate::relay::UpstreamState;
use crate::relay::head::Head;

#[derive(Clone, Debug)]
pub(in super::super) enum Phase {
    /// There is no head yet.
    Starting,
    Open(Arc<Head>),
    /// The upstream gave no event stream.
    Refused(Refusal),
    Ended(Option<Arc<Head>>, Ended),
}

#[derive(Clone, Debug)]
pub(in super::super) enum Refusal {
    /// The same for all who wait: an error with its body.
    Same(Arc<Head>, Bytes),
    /// Of who asked alone.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Ended {
    /// The last client left.
    Left,
    Refused,
    Finished,
    /// The upstream said that there is no more.
    NoContent,
    /// It cannot be asked again.
    Failed,
    /// The upstream's answer is no, or it gave none for too long.
    GaveUp,
    /// The upstream's answer is not for all who wait for it behind a head that they were given.
    NotForAll,
}

impl Relay {
    /// Whether it is an answer that has ended before it was whole, and clients are to see that.
    pub(in super::super) fn is_broken(&self) -> bool {
        let is_whole = match self.phase() {
            Phase::Ended(_, how) => matches!(how, Ended::Finished | Ended::NoContent),
            Phase::Starting | Phase::Open(_) | Phase::Refused(_) => true,
        };
        self.config.breaks && !self.is_asked_again && !is_whole
    }

    /// Whether it can be replayed, and that is all.
    pub(in super::super) fn has_finished(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Ended(..))
    }

    pub(in super::super) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub(in super::super) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Waits until it is known what the upstream gives.
    pub(in super::super) async fn settled(&self) -> Phase {
        let mut phase = self.phase.subscribe();
        let settled = phase
            .wait_for(|phase| !matches!(phase, Phase::Starting))
            .await;
        match settled {
            Ok(phase) => phase.clone(),
            // The sender is in `self`.
            Err(_) => Phase::Ended(None, Ended::Left),
        }
    }

    pub(in super::super) fn state(&self) -> UpstreamState {
        match self.state.load(Ordering::Relaxed) {
            0 => UpstreamState::Connecting,
            1 => UpstreamState::Connected,
            2 => UpstreamState::Waiting,
            4 => UpstreamState::Elsewhere,
            _ => UpstreamState::Ended,
        }
    }

    pub(in super::super) fn set_state(&self, state: UpstreamState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }
}
