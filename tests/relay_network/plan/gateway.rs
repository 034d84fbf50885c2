//! How a gateway is set, and what two of them, one behind the other, make of an upstream.

use std::time::Duration;

use tower_sse::relay::{OnFull, OnLeave, SlowClient, Start};
use tower_sse::wire::{IdTag, SequentialId};

use super::{Asks, Kind, Plan, pick};
use crate::random::Random;

/// What a gateway does with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// All clients share it.
    Share,
    /// Each client has its own, and finds it again.
    Resume,
    /// Events without an id are given one.
    Fill,
    /// All events are given an id.
    Replace,
    /// It passes.
    Off,
}

const ROLES: [Role; 7] = [
    Role::Share,
    Role::Share,
    Role::Resume,
    Role::Resume,
    Role::Fill,
    Role::Replace,
    Role::Off,
];

impl Role {
    pub(crate) fn is_relay(self) -> bool {
        matches!(self, Role::Share | Role::Resume)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct GatewayPlan {
    /// What it does with the stream that clients ask for as one that all share.
    pub(crate) shared: Role,
    /// What it does with one of a client's own.
    pub(crate) own: Role,
    /// A successor has its secret.
    pub(crate) keeps_secret: bool,
    pub(crate) history_events: usize,
    pub(crate) history_bytes: usize,
    pub(crate) max_event_bytes: usize,
    pub(crate) slow_client: SlowClient,
    pub(crate) client_stall_timeout: Duration,
    /// As it is by default if none.
    pub(crate) on_full: Option<OnFull>,
    pub(crate) begin: Start,
    pub(crate) on_leave: OnLeave,
    pub(crate) hold: bool,
    pub(crate) give_up: Duration,
    /// The upstream's ids stay, where the stream is shared.
    pub(crate) keep_ids: bool,
}

impl GatewayPlan {
    /// A gateway whose clients share a stream or have a relay of their own, as they ask for.
    pub(super) fn new(random: &mut Random, kind: Kind) -> Self {
        GatewayPlan {
            shared: Role::Share,
            own: Role::Resume,
            keeps_secret: random.below(2) == 0,
            history_events: pick(random, &[3, 8, 30, 10_000]),
            history_bytes: pick(random, &[4_000, 1 << 20, 1 << 20]),
            max_event_bytes: pick(random, &[2_000, 1 << 20]),
            slow_client: pick(
                random,
                &[SlowClient::Disconnect, SlowClient::Skip, SlowClient::Latest],
            ),
            client_stall_timeout: Duration::from_secs(pick(random, &[1, 5, 30])),
            on_full: pick(random, &[None, Some(OnFull::Wait), Some(OnFull::Drop)]),
            begin: pick(random, &[Start::Live, Start::Last(2), Start::All]),
            on_leave: pick(
                random,
                &[
                    OnLeave::Cancel,
                    OnLeave::Linger(Duration::from_secs(1)),
                    OnLeave::Linger(Duration::from_secs(3)),
                    OnLeave::Finish,
                ],
            ),
            hold: random.below(4) == 0,
            give_up: Duration::from_secs(pick(random, &[4, 300, 300])),
            keep_ids: kind == Kind::Resumes && random.below(4) == 0,
        }
    }

    pub(super) fn catches_up(&self) -> bool {
        let is_small = self.history_events < 10_000 || self.history_bytes < 1 << 20;
        !(is_small && matches!(self.slow_client, SlowClient::Disconnect))
    }

    /// What it does with what a client asks for.
    pub(crate) fn role(&self, asks: Asks) -> Role {
        match (asks, self.own) {
            (Asks::Shared, _) => self.shared,
            // What a POST does is done for its client alone.
            (Asks::Answer, Role::Share) => Role::Off,
            (Asks::Own | Asks::Answer, own) => own,
        }
    }

    fn keeps_ids(&self, asks: Asks) -> bool {
        self.keep_ids && self.role(asks) == Role::Share
    }
}

/// By whom the ids of this gateway are written.
pub(crate) fn tag(gateway: usize) -> IdTag {
    IdTag::new(["outer", "inner"][gateway])
}

/// Two gateways, the outer first.
pub(super) fn chain(random: &mut Random, kind: Kind) -> Vec<GatewayPlan> {
    let mut outer = GatewayPlan::new(random, kind);
    let mut inner = GatewayPlan::new(random, kind);
    for (outer, inner) in [
        (&mut outer.shared, &mut inner.shared),
        (&mut outer.own, &mut inner.own),
    ] {
        (*outer, *inner) = (pick(random, &ROLES), pick(random, &ROLES));
        let is_relayed = outer.is_relay() || inner.is_relay();
        if !is_relayed && !can_be_without_relay(kind) {
            *inner = Role::Share;
        }
    }
    vec![outer, inner]
}

/// Without a relay a client gets what the upstream makes of its id: of these kinds it is what is checked here.
fn can_be_without_relay(kind: Kind) -> bool {
    matches!(kind, Kind::Resumes | Kind::Live | Kind::Anew)
}

/// Whether a POST can be asked through them.
///
/// Where its answer is given ids that are only counted, a client that comes back has it done again. And one that is not
/// relayed comes as the upstream likes.
pub(super) fn can_answer(gateways: &[GatewayPlan], kind: Kind) -> bool {
    let mut all = gateways.iter().map(|gateway| gateway.own);
    let is_counted = all.clone().any(|role| role == Role::Replace);
    let is_relayed = all.any(|role| role == Role::Resume);
    let is_exact = kind == Kind::Resumes || !kind.resumes();
    !is_counted && (is_relayed || is_exact)
}

impl Plan {
    /// What a client that asks for this can be promised at most: as of an upstream of this kind behind one relay.
    pub(crate) fn promise(&self, asks: Asks) -> Kind {
        if asks == Asks::Answer {
            return match self.kind.resumes() {
                true => self.kind,
                false => Kind::NoIds,
            };
        }
        match self.kind {
            // Ids that are only counted mean nothing to the upstream, and who sees them cannot know.
            Kind::NoIds if self.is_counted_anew(asks) => Kind::Live,
            kind => kind,
        }
    }

    /// Whether events of the upstream that have none are given ids without a relay.
    pub(crate) fn is_filled(&self, asks: Asks) -> bool {
        let innermost = self.gateways.last().map(|gateway| gateway.role(asks));
        matches!(innermost, Some(Role::Fill | Role::Replace))
    }

    /// Whether ids are given, without a relay, to events of an upstream that takes no notice of a `Last-Event-ID`: then the
    /// same event has another id in each request, and nothing tells that it is the same.
    pub(crate) fn is_counted_anew(&self, asks: Asks) -> bool {
        match self.gateways.last().map(|gateway| gateway.role(asks)) {
            Some(Role::Replace) => !self.kind.resumes(),
            Some(Role::Fill) => self.kind == Kind::NoIds && asks != Asks::Answer,
            _ => false,
        }
    }

    /// The id of the relay that is next to the client, in what the client has as its last event ID; none if no relay gives
    /// it ids of its own.
    pub(crate) fn relays_id(&self, asks: Asks, id: &str) -> Option<String> {
        let mut id = id.as_bytes();
        for (place, gateway) in self.gateways.iter().enumerate() {
            if gateway.keeps_ids(asks) {
                return None;
            }
            if gateway.role(asks).is_relay() {
                return Some(String::from_utf8(id.to_vec()).unwrap());
            }
            id = behind_ours(id, tag(place));
        }
        None
    }
}

/// What of an id is the upstream's, if it was written by who has this tag.
pub(crate) fn behind_ours(id: &[u8], tag: IdTag) -> &[u8] {
    match SequentialId::parse(id) {
        Some(ours) if ours.epoch.has_tag(tag) => ours.upstream.unwrap_or_default(),
        _ => id,
    }
}
