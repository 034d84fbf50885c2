//! What must hold at the end, behind a calm.

use crate::client::State;
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
}
