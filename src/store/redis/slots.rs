//! Partitions: the streams of one are all at one node of a cluster, and so are the sessions that its scripts look for.

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;
/// How many partitions there are on a cluster.
const COUNT: u16 = 64;

/// The tags of partitions.
#[derive(Clone, Debug)]
pub struct Partitions {
    tags: Vec<String>,
}

impl Partitions {
    /// One, for a single primary.
    pub fn single() -> Self {
        Partitions {
            tags: vec!["0".to_owned()],
        }
    }

    /// As many as are needed to be even on any cluster: the tag of each is the smallest number in its share of the slots.
    /// Numbers that simply count have slots that collide.
    pub fn of_cluster() -> Self {
        let mut tags = vec![None; usize::from(COUNT)];
        let mut numbers = 0_u32..;
        while tags.iter().any(Option::is_none) {
            let Some(number) = numbers.next() else { break };
            let tag = number.to_string();
            let share = slot(tag.as_bytes()) / (SLOTS / COUNT);
            tags[usize::from(share)].get_or_insert(tag);
        }
        Partitions {
            tags: tags.into_iter().flatten().collect(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.tags.len()
    }

    pub(super) fn tag(&self, partition: usize) -> &str {
        &self.tags[partition]
    }

    /// All of them.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().map(String::as_str)
    }
}

/// The slot of what stands between the braces of a key.
pub fn slot(tag: &[u8]) -> u16 {
    // CRC16 as XMODEM has it.
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            let carry = if crc & 0x8000 != 0 { 0x1021 } else { 0 };
            crc << 1 ^ carry
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3 % SLOTS);
    }

    #[test]
    fn each_share_of_the_slots_has_a_partition() {
        let partitions = Partitions::of_cluster();
        let shares: Vec<_> = partitions
            .tags()
            .map(|tag| slot(tag.as_bytes()) / (SLOTS / COUNT))
            .collect();
        assert_eq!(shares, (0..COUNT).collect::<Vec<_>>());
    }
}
