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
        if log.is_none() {
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
        }
        // Where a log was made anew by who had none of it, something may be missing.
        let mut epochs: Vec<_> = self.events.keys().map(|(epoch, _)| epoch).collect();
        epochs.dedup();
        let is_whole = self.plan.is_whole() && epochs.len() == 1;
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

    /// An id means one event, whoever gave it; a fence is one owner's.
    pub(crate) fn published(
        &mut self,
        (primary, from): (usize, InstanceId),
        message: &Message,
        before: u64,
    ) {
        let error = match message {
            Message::Frame(bytes) => {
                let frame = Frame::parse(bytes).expect("a frame that was written here");
                let mut error = None;
                for (index, event) in frame.events.iter().enumerate() {
                    let is = (event.bytes.slice(event.body..), event.upstream.clone());
                    let name = (frame.epoch, frame.first + index as u64);
                    let kept = self.events.entry(name).or_insert_with(|| is.clone());
                    if *kept != is {
                        error = Some(format!("V2: {name:?} was {kept:?} and is {is:?}"));
                    }
                }
                let broken = frame.base != before;
                error.or(broken.then(|| format!("V4: {} behind {before}", frame.base)))
            }
            Message::Owned(fence, owner) => {
                let known = self.fences.insert(*fence, *owner);
                let is_other = known.is_some_and(|known| known != *owner);
                is_other.then(|| format!("V4: {fence:?} is of two owners"))
            }
            _ => None,
        };
        self.note(|| format!("published at {primary} by {from:?}: {}", shown(message)));
        self.error = self.error.take().or(error);
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
