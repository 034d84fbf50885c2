//! For whom an answer is: for all who wait, for others by what their requests have, or for nobody else.

use http::{HeaderMap, response};
use http_body::Body;

use super::Upstream;
use crate::history::History;
use crate::relay::Key;
use crate::relay::late::{self, is_nobodys_own};
use crate::relay::passed::Known;
use crate::relay::shared::Of;
use crate::relay::vary::Vary;

impl<S, R, E, H> Upstream<S, R, E, H>
where
    R: Body,
    H: History,
{
    /// What the head of an answer says of for whom else it is.
    pub(super) fn whom_for(&self, answer: &HeaderMap) -> Vary {
        let none = HeaderMap::new();
        let template = self.template.as_ref();
        let sent = template.map_or(&none, |template| &template.parts.headers);
        Vary::of(answer, sent, self.config.insist)
    }

    /// Whether all who are there may be given what is no event stream.
    pub(super) fn may_give_all_of(&mut self, head: &response::Parts) -> bool {
        if self.had_stream {
            return true;
        }
        let vary = match self.config.insist || is_nobodys_own(head) {
            true => self.whom_for(&head.headers),
            false => Vary::Private,
        };
        self.is_for_all_here(vary)
    }

    /// Whether all who were given a head before this answer may be given the answer. From here on it can be found by those for
    /// whom it is.
    pub(super) fn is_for_all_here(&mut self, vary: Vary) -> bool {
        let leader = self.leader.take();
        let none = Key::default();
        let key = self.config.key.as_ref().unwrap_or(&none);
        let is_for_all = late::is_for_all_here(&self.relay, leader.as_ref(), key, &vary);
        if is_for_all {
            self.share_if(&vary);
        }
        if let Some(leader) = leader.filter(|leader| leader.is_alone && is_for_all) {
            if vary != Vary::Private {
                self.registry.publish(&self.relay, &leader.headers);
            }
        }
        self.note(&vary);
        is_for_all
    }

    /// What is to be known of the key by those who come next.
    pub(super) fn note(&self, vary: &Vary) {
        let key = self.config.key.as_ref();
        match vary {
            Vary::Private => self.note_as(Known::Private),
            vary => {
                let names = vary.names();
                if names
                    .iter()
                    .any(|name| !key.is_some_and(|key| key.tells_apart(name)))
                {
                    self.note_as(Known::Differs(names));
                }
            }
        }
    }

    pub(super) fn note_as(&self, known: Known) {
        if let Of::Key { key, .. } = &self.relay.of {
            self.registry.note(*key, known);
        }
    }
}
