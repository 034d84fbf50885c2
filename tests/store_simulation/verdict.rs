//! What must hold: at each moment, and at the end, behind a calm.

use tower_sse::store::{Frame, InstanceId, Message};

use crate::client::State;
use crate::plan::ROUGH;
use crate::world::{STREAM, World};

impl World {
    pub(crate) fn judge_end(&mut self) -> Result<(), String> {
        let primary = self
            .is_dead
            .iter()
            .rposition(|dead| !dead)
            .expect("one is alive");
        let log = self.primaries[primary].read(STREAM, 0).meta;
        let position = log.map_or(0, |meta| meta.position);
        if log.is_none() && !self.plan.ends {
            return Err("V6: there is no log".into());
        }
        let members = self
            .gateways
            .iter()
            .filter_map(|gateway| gateway.member.as_ref());
        for (number, member) in members.enumerate() {
            if !self.plan.ends && member.replica().tip().0 != position {
                let tip = member.replica().tip();
                return Err(format!("V6: member {number} is at {tip:?} of {position}"));
            }
            let note = member.note();
            if !self.plan.ends && self.primaries[primary].told(STREAM) != Some(note) {
                return Err(format!("V8: member {number} has {note:?} in the end"));
            }
        }
        // Where a log was made anew by who had none of it, something may be missing.
        let is_whole = self.plan.is_whole() && self.ledger.beginnings.len() == 1;
        for (number, client) in self.clients.iter().enumerate() {
            if is_whole && client.gaps > 0 {
                return Err(format!("P1: client {number} was told of a gap"));
            }
            let is_over = matches!(client.state, State::Over);
            let reads = matches!(client.state, State::Reads { .. });
            let expected = if self.plan.ends { is_over } else { reads };
            let is_at_end =
                client.number == Some(self.produced) || client.number.is_none() && is_over;
            if !expected || !is_at_end && !client.told {
                return Err(format!(
                    "V6: client {number} of {}: {client:?}",
                    self.produced
                ));
            }
        }
        let readers = self
            .gateways
            .iter()
            .filter(|gateway| gateway.upstream.is_up)
            .count();
        match (self.plan.ends, readers) {
            (false, 1) | (true, 0) => Ok(()),
            _ => Err(format!("V5: {readers} read the upstream in the end")),
        }
    }

    pub(crate) fn published(
        &mut self,
        (primary, from): (usize, InstanceId),
        message: &Message,
        before: u64,
    ) {
        self.note(|| format!("published at {primary} by {from:?}: {}", shown(message)));
        let published = self.ledger.published(message, primary, before);
        self.error = self.error.take().or(published.err());
    }

    /// The store may have lost something, and what is left is at this primary.
    pub(crate) fn lost(&mut self, primary: usize) {
        if self.is_dead.iter().filter(|dead| !**dead).count() == 1 {
            self.ledger.lost(&self.primaries[primary]);
        }
    }

    /// What must hold of the log and its replicas.
    pub(crate) fn judge_log(&self) -> Result<(), String> {
        let is_left = |dead: &bool| !*dead;
        let primary = self
            .is_dead
            .iter()
            .rposition(is_left)
            .expect("one is alive");
        self.ledger.check(&self.primaries[primary])?;
        for gateway in &self.gateways {
            if let Some(member) = &gateway.member {
                self.ledger.compare(member, 0, gateway.reached)?;
            }
        }
        match self.plan.forgets() || self.has_expired {
            true => Ok(()),
            false => self
                .ledger
                .history
                .check()
                .map_err(|error| format!("order: {error}")),
        }
    }

    pub(crate) fn count_readers(&mut self) -> Result<(), String> {
        let readers = self
            .gateways
            .iter()
            .filter(|gateway| gateway.upstream.is_up)
            .count();
        match (readers > 1, self.two_readers_since) {
            (true, None) => self.two_readers_since = Some(self.now),
            (true, Some(since)) => {
                self.two_readers = self.two_readers.max(self.now - since);
                if self.now > ROUGH + 4_000 && since < ROUGH + 1_000 {
                    return Err("V5: two read the upstream in the calm".into());
                }
            }
            (false, _) => self.two_readers_since = None,
        }
        Ok(())
    }
}

fn shown(message: &Message) -> String {
    let Message::Frame(bytes) = message else {
        return format!("{message:?}");
    };
    let frame = Frame::parse(bytes).unwrap();
    let data: Vec<_> = frame.events.iter().map(crate::client::text).collect();
    format!(
        "{:?} base {} first {} was {:?} {data:?}",
        frame.fence, frame.base, frame.first, frame.was
    )
}
