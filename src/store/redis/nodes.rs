//! Which node of a cluster has which slots.

use super::address::Endpoint;
use super::{Partitions, slot};
use crate::store::Reign;

/// A primary of a cluster, as a node describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// That of the last change of its slots. Of two nodes that claim a slot, the one with the larger has it.
    epoch: u64,
    address: String,
    /// Whether it is the one that says so.
    is_self: bool,
    slots: Vec<(u16, u16)>,
}

impl Node {
    /// Whether it has the slot of this tag.
    pub(super) fn has(&self, tag: &str) -> bool {
        let slot = slot(tag.as_bytes());
        let mut slots = self.slots.iter();
        slots.any(|(first, last)| (*first..=*last).contains(&slot))
    }

    /// The reign of what it has: a slot may come back to it, and was another's meanwhile.
    pub(super) fn reign(&self, reign: Reign) -> Reign {
        let hash = blake3::hash(format!("{:x}:{}", reign.0, self.epoch).as_bytes());
        let first = hash.as_bytes().iter().take(8);
        Reign(first.fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }

    /// `<id> <ip:port@cport[,hostname]> <flags> <primary> <ping> <pong> <config epoch> <link> <slot> …`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip(1);
        let address = words.next()?.to_owned();
        let flags: Vec<_> = words.next()?.split(',').collect();
        let is_primary = flags.contains(&"master");
        if !is_primary || flags.contains(&"fail") || flags.contains(&"noaddr") {
            return None;
        }
        let epoch = words.nth(3)?.parse().ok()?;
        let slots = words.skip(1).filter_map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            // Those that move stand in brackets, and are listed beside that.
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Some(Node {
            epoch,
            address,
            is_self: flags.contains(&"myself"),
            slots: slots.collect(),
        })
    }

    /// Where it is, for who has asked the node at this place.
    fn endpoint(&self, asked: &Endpoint, by_name: bool) -> Option<Endpoint> {
        let (address, names) = self.address.split_once(',').unwrap_or((&self.address, ""));
        let (address, _) = address.split_once('@').unwrap_or((address, ""));
        let (host, port) = address.rsplit_once(':')?;
        let name = names.split(',').next().filter(|name| !name.is_empty());
        let host = match (name.filter(|_| by_name), host, asked) {
            (Some(name), ..) => name,
            // It does not know its own address yet.
            (None, "", Endpoint::Tcp(host, _)) => host,
            (None, host, _) => host,
        };
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty()).then(|| Endpoint::Tcp(host.to_owned(), port))
    }
}

/// The primaries in what a node has answered.
pub(super) fn parse(text: &str) -> Vec<Node> {
    text.lines().filter_map(Node::parse).collect()
}

/// The one that has answered, if it is a primary.
pub(super) fn own(text: &str) -> Option<Node> {
    parse(text).into_iter().find(|node| node.is_self)
}

/// Who has which partition, by what several nodes have answered.
pub(super) fn map(
    partitions: &Partitions,
    answers: &[(Endpoint, Vec<Node>)],
    by_name: bool,
) -> Option<Vec<(Endpoint, Vec<usize>)>> {
    let mut map: Vec<(Endpoint, Vec<usize>)> = Vec::new();
    for (partition, tag) in partitions.tags().enumerate() {
        let claims = answers.iter().flat_map(|(asked, nodes)| {
            let nodes = nodes.iter().filter(|node| node.has(tag));
            nodes.map(move |node| (node.epoch, node.endpoint(asked, by_name)))
        });
        let (_, endpoint) = claims.max_by_key(|(epoch, _)| *epoch)?;
        let endpoint = endpoint?;
        match map.iter_mut().find(|(known, _)| *known == endpoint) {
            Some((_, has)) => has.push(partition),
            None => map.push((endpoint, vec![partition])),
        }
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "\
07c3 127.0.0.1:1@2,name.one master - 0 1 5 connected 0-5460 16000 [77->-292f]\n\
292f :3@4,name.two,shard-id=x myself,master - 0 0 7 connected 5461-15999 16001-16383 [93-<-07c3]\n\
e7d1 127.0.0.1:5@6 slave 292f 0 1 7 connected\n\
aaaa 127.0.0.1:7@8 master,fail - 0 1 4 disconnected 0-5460\n\
bbbb 127.0.0.1:9@1 master,fail? - 0 1 3 connected 3\n";

    #[test]
    fn a_partition_is_where_the_largest_epoch_has_it() {
        let partitions = Partitions::of_cluster();
        let asked = Endpoint::Tcp("10.0.0.1".to_owned(), 1);
        let answers = [(asked, parse(ANSWER))];
        let map = map(&partitions, &answers, false).unwrap();
        let mut all: Vec<_> = map.iter().flat_map(|(_, has)| has.clone()).collect();
        all.sort();
        assert_eq!(all, (0..64).collect::<Vec<_>>());
        let places: Vec<_> = map.iter().map(|(place, _)| place.to_string()).collect();
        assert_eq!(places, ["127.0.0.1:1", "10.0.0.1:3"]);
        let by_name = super::map(&partitions, &answers, true).unwrap();
        let places: Vec<_> = by_name.iter().map(|(place, _)| place.to_string()).collect();
        assert_eq!(places, ["name.one:1", "name.two:3"]);
    }

    #[test]
    fn a_node_knows_itself_and_its_reign_changes_with_its_epoch() {
        let node = own(ANSWER).unwrap();
        assert_eq!(node.epoch, 7);
        let later = own(&ANSWER.replace("0 0 7 ", "0 0 8 ")).unwrap();
        assert_ne!(node.reign(Reign(1)), later.reign(Reign(1)));
        assert_eq!(own(&ANSWER.replace("myself,master", "myself,slave")), None);
    }

    #[test]
    fn a_slot_that_nobody_has_is_no_map_and_nonsense_is_none() {
        let partitions = Partitions::of_cluster();
        let asked = Endpoint::Tcp("a".to_owned(), 1);
        let text = ANSWER.replace("5461-15999", "5461-5462");
        assert_eq!(map(&partitions, &[(asked, parse(&text))], false), None);
        for text in ["", "a", "a b master", "a b master - 0 0 x connected 1-2"] {
            assert_eq!(parse(text), []);
        }
    }
}
