//! How many requests a client may make in a time, and how many connections.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::limits::network;
use crate::config::Rate;

type ByClient = RateLimiter<
    IpAddr,
    DashMapStateStore<IpAddr>,
    MonotonicClock,
    NoOpMiddleware<std::time::Instant>,
>;

/// Of so many clients it is known what they have asked. With more, those of a larger network count as one.
const MOST: usize = 100_000;
/// Between two looks at how many there are.
const LOOK: usize = 1_024;

/// What clients have asked lately. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates(Arc<Mutex<Option<(Rate, Requests)>>>);

impl Rates {
    /// The one of this rate, with what was asked before where the rate was the same.
    pub(crate) fn at(&self, rate: Rate) -> Requests {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*now {
            Some((known, requests)) if *known == rate => requests.clone(),
            _ => {
                let requests = Requests::at(rate);
                *now = Some((rate, requests.clone()));
                requests
            }
        }
    }
}

/// What clients have asked lately. Clones are the same.
#[derive(Clone)]
pub(crate) struct Requests(Arc<Asked>);

struct Asked {
    by_client: ByClient,
    checked: AtomicUsize,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

impl Requests {
    fn at(rate: Rate) -> Self {
        let quota = Quota::with_period(rate.per / rate.requests.get());
        let quota = quota.map(|quota| quota.allow_burst(rate.requests));
        // A time is never nothing; the least that is left of one by division is a nanosecond.
        let quota = quota.unwrap_or(Quota::per_second(rate.requests));
        Requests(Arc::new(Asked {
            by_client: RateLimiter::new(quota, DashMapStateStore::default(), MonotonicClock),
            checked: AtomicUsize::new(0),
        }))
    }

    /// Counts a request; whether it is within the rate.
    pub(crate) fn admit(&self, client: IpAddr) -> bool {
        let Asked { by_client, checked } = &*self.0;
        let mut network = network(client);
        if checked.fetch_add(1, Ordering::Relaxed) % LOOK == 0 && by_client.len() > MOST {
            by_client.retain_recent();
        }
        if by_client.len() > MOST {
            network = larger(network);
        }
        by_client.check_key(&network).is_ok()
    }
}

/// A /16 of IPv4, a /32 of IPv6.
fn larger(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            IpAddr::from([a, b, 0, 0])
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            IpAddr::from([a, b, 0, 0, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rate(requests: u32, per: u64) -> Rate {
        Rate {
            requests: requests.try_into().expect("some"),
            per: Duration::from_secs(per),
        }
    }

    fn admitted(requests: &Requests, client: &str, tries: usize) -> usize {
        let client = client.parse().expect("an address");
        (0..tries).filter(|_| requests.admit(client)).count()
    }

    #[test]
    fn each_client_has_its_own_and_of_ipv6_each_network() {
        let requests = Requests::at(rate(5, 3600));
        assert_eq!(admitted(&requests, "192.0.2.1", 9), 5);
        assert_eq!(admitted(&requests, "::ffff:192.0.2.1", 9), 0);
        assert_eq!(admitted(&requests, "192.0.2.2", 9), 5);
        assert_eq!(admitted(&requests, "2001:db8::1", 9), 5);
        assert_eq!(admitted(&requests, "2001:db8::ffff:1", 9), 0);
        assert_eq!(admitted(&requests, "2001:db8:0:1::1", 9), 5);
    }

    #[test]
    fn what_was_asked_outlasts_a_reload_with_the_same_rate() {
        let rates = Rates::default();
        assert_eq!(admitted(&rates.at(rate(2, 3600)), "192.0.2.1", 9), 2);
        assert_eq!(admitted(&rates.at(rate(2, 3600)), "192.0.2.1", 9), 0);
        assert_eq!(admitted(&rates.at(rate(3, 3600)), "192.0.2.1", 9), 3);
    }

    #[test]
    fn a_crowd_of_networks_is_bounded() {
        let requests = Requests::at(rate(1, 3600));
        for number in 0..(MOST + 5 * LOOK) as u32 {
            requests.admit(IpAddr::from(number.to_be_bytes()));
        }
        assert!(requests.0.by_client.len() <= MOST + 70_000);
    }
}
