//! What the upstream has to tell: numbered events, which it has from the first to the last for good.

use crate::plan::{Kind, Plan};
use crate::random::Random;

/// The data of the last event of a schedule ends so.
pub(crate) const LAST: &str = " the last";

/// Events by number, from 1 on, as they stand on the wire: the same each time they are sent.
pub(crate) struct Feed {
    random: Random,
    kind: Kind,
    ending: &'static str,
    /// Behind the number in the data, so that those of two feeds are not the same.
    name: String,
    events: Vec<Vec<u8>>,
}

impl Feed {
    pub(crate) fn new(plan: &Plan, name: &str, random: Random) -> Self {
        Feed {
            random,
            kind: plan.kind,
            ending: plan.ending,
            name: name.into(),
            events: Vec::new(),
        }
    }

    pub(crate) fn without_ids(mut self) -> Self {
        self.kind = Kind::NoIds;
        self
    }

    /// The number of the last event.
    pub(crate) fn len(&self) -> u64 {
        self.events.len() as u64
    }

    pub(crate) fn push(&mut self, is_last: bool) {
        let event = self.block(self.len() + 1, is_last);
        self.events.push(event);
    }

    pub(crate) fn event(&self, number: u64) -> Option<&[u8]> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.events.get(place).map(Vec::as_slice)
    }

    fn block(&mut self, number: u64, is_last: bool) -> Vec<u8> {
        let random = &mut self.random;
        let mut lines = Vec::new();
        if random.below(8) == 0 {
            lines.push(":of the event".to_owned());
        }
        if random.below(16) == 0 {
            lines.push(format!("retry: {}", random.below(300)));
        }
        if random.below(4) == 0 {
            lines.push("event: tick".into());
        }
        let id = match self.kind {
            Kind::NoIds => None,
            Kind::OneId => Some("one".into()),
            Kind::ResumesSome => (random.below(3) == 0).then(|| format!("row-{number}")),
            Kind::Resumes | Kind::Inclusive | Kind::Live | Kind::Anew => {
                Some(format!("row-{number}"))
            }
        };
        let id_is_first = random.below(2) == 0;
        let id = id.map(|id| format!("id: {id}"));
        lines.extend(id.clone().filter(|_| id_is_first));
        let last = if is_last { LAST } else { "" };
        lines.push(format!("data: {number} {}{last}", self.name));
        match random.below(20) {
            0..=3 => lines.push(format!("data:{}", "x".repeat(random.below(1_000) as usize))),
            4 if !is_last => lines.push(format!("data: {}", "y".repeat(2_500))),
            _ => {}
        }
        lines.extend(id.filter(|_| !id_is_first));
        lines.push(String::new());
        let mut block = lines.join(self.ending);
        block.push_str(self.ending);
        block.into_bytes()
    }
}

/// The number that an event's data begins with.
pub(crate) fn number(data: &str) -> Option<u64> {
    data.split(' ').next()?.parse().ok()
}

/// The number in an id of the upstream.
pub(crate) fn number_of_id(id: &[u8]) -> Option<u64> {
    std::str::from_utf8(id)
        .ok()?
        .strip_prefix("row-")?
        .parse()
        .ok()
}
