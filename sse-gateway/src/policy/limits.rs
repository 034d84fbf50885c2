//! How many event streams there may be at a time: in all, of a route, of a client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::rate::{Rates, Requests};
use crate::answer::Refusal;
use crate::config::{FieldLimit, Rate};

/// How many there are. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    all: AtomicUsize,
    clients: Mutex<HashMap<Client, usize>>,
    routes: Mutex<HashMap<String, Arc<AtomicUsize>>>,
    rates: Rates,
    connection_rates: Rates,
}

impl Counts {
    /// What clients have asked lately, at this rate.
    pub(crate) fn requests(&self, rate: Rate) -> Requests {
        self.0.rates.at(rate)
    }

    /// The same of connections.
    pub(crate) fn connections(&self, rate: Rate) -> Requests {
        self.0.connection_rates.at(rate)
    }

    /// Those of the route of this name, whatever its settings become.
    pub(crate) fn of_route(&self, name: &str) -> Arc<AtomicUsize> {
        let mut routes = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.entry(name.to_owned()).or_default().clone()
    }
}

/// Whose streams are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Client {
    At(IpAddr),
    /// The name of a field, and what it says.
    With(HeaderName, Box<[u8]>),
}

impl Counted {
    fn clients(&self) -> MutexGuard<'_, HashMap<Client, usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for one more, which is counted then.
    fn admit(&self, client: &Client, most: usize) -> bool {
        let mut clients = self.clients();
        let count = clients.get(client).copied().unwrap_or(0);
        let has_room = count < most;
        if has_room {
            clients.insert(client.clone(), count + 1);
        }
        has_room
    }
}

/// How many there may be on a route.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) all: Option<usize>,
    pub(crate) route: Option<usize>,
    pub(crate) client: Option<usize>,
    pub(crate) field: Option<FieldLimit>,
    pub(crate) counts: Counts,
    pub(crate) of_route: Arc<AtomicUsize>,
    /// Of a client in a time, streams or not.
    pub(crate) requests: Option<Requests>,
}

/// Which one is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    All,
    Route,
    Client,
    Field,
    Rate,
}

impl Limit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Limit::All => "all",
            Limit::Route => "route",
            Limit::Client => "client",
            Limit::Field => "field",
            Limit::Rate => "rate",
        }
    }

    /// What is answered where an answer is of use.
    pub(super) fn refusal(self) -> Refusal {
        let (status, message) = match self {
            Limit::All => (
                StatusCode::SERVICE_UNAVAILABLE,
                "As many event streams are open as there may be. Try again later.\n",
            ),
            Limit::Route => (
                StatusCode::SERVICE_UNAVAILABLE,
                "As many event streams are open as there may be of this kind. Try again later.\n",
            ),
            Limit::Client | Limit::Field => (
                StatusCode::TOO_MANY_REQUESTS,
                "You have as many event streams open as you may. Close some, or try again later.\n",
            ),
            Limit::Rate => (
                StatusCode::TOO_MANY_REQUESTS,
                "You ask more often than you may. Try again later.\n",
            ),
        };
        Refusal { status, message }
    }
}

impl Limits {
    pub(super) fn is_set(&self) -> bool {
        self.counts_streams() || self.requests.is_some() || self.field.is_some()
    }

    /// Whether streams are counted.
    pub(super) fn counts_streams(&self) -> bool {
        [self.all, self.route, self.client]
            .iter()
            .any(Option::is_some)
    }

    /// Counts a request of any kind; whether it is within the rate.
    pub(super) fn is_in_time(&self, client: Option<IpAddr>) -> bool {
        let requests = self.requests.as_ref().zip(client);
        requests.is_none_or(|(requests, client)| requests.admit(client))
    }

    /// Counts one more.
    ///
    /// # Errors
    ///
    /// When there are as many as there may be.
    pub(super) fn admit(&self, client: Option<IpAddr>) -> Result<Held, Limit> {
        let mut held = Held {
            counts: self.counts.clone(),
            in_all: false,
            of_route: None,
            client: None,
        };
        if let (Some(most), Some(client)) = (self.client, client.map(network)) {
            let client = Client::At(client);
            if !self.counts.0.admit(&client, most) {
                return Err(Limit::Client);
            }
            held.client = Some(client);
        }
        if let Some(most) = self.route {
            count_up(&self.of_route, most).ok_or(Limit::Route)?;
            held.of_route = Some(self.of_route.clone());
        }
        if let Some(most) = self.all {
            count_up(&self.counts.0.all, most).ok_or(Limit::All)?;
            held.in_all = true;
        }
        Ok(held)
    }

    /// Counts one more of those who have the same in the field that is looked at; none where a request has no such field.
    ///
    /// # Errors
    ///
    /// When there are as many as there may be.
    pub(super) fn admit_by_field(&self, fields: &HeaderMap) -> Result<Option<Held>, Limit> {
        let Some(FieldLimit { field, most }) = &self.field else {
            return Ok(None);
        };
        let lines: Vec<_> = fields
            .get_all(field)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let client = Client::With(field.clone(), lines.join(&b","[..]).into());
        if !self.counts.0.admit(&client, *most) {
            return Err(Limit::Field);
        }
        Ok(Some(Held {
            counts: self.counts.clone(),
            in_all: false,
            of_route: None,
            client: Some(client),
        }))
    }
}

fn count_up(count: &AtomicUsize, most: usize) -> Option<usize> {
    let more = |count: usize| (count < most).then_some(count + 1);
    let counted = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    counted.ok()
}

/// An IPv6 client has a whole /64 at its hands.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// One that is counted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    counts: Counts,
    in_all: bool,
    of_route: Option<Arc<AtomicUsize>>,
    client: Option<Client>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.in_all {
            self.counts.0.all.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(of_route) = &self.of_route {
            of_route.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(client) = &self.client {
            let mut clients = self.counts.0.clients();
            if let Some(count) = clients.get_mut(client) {
                *count -= 1;
                if *count == 0 {
                    clients.remove(client);
                }
            }
            if clients.is_empty() {
                clients.shrink_to_fit();
            }
        }
    }
}

/// What is counted for a request, as an extension of it: who has its stream takes it.
#[derive(Clone, Debug)]
pub(crate) struct Permit(Arc<Mutex<Option<Held>>>);

impl Permit {
    pub(super) fn new(held: Held) -> Self {
        Permit(Arc::new(Mutex::new(Some(held))))
    }

    /// Once.
    pub(crate) fn take(&self) -> Option<Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn each_limit_holds_and_what_is_dropped_is_given_back() {
        let limits = Limits {
            all: Some(4),
            route: Some(3),
            client: Some(2),
            ..Limits::default()
        };
        let other_route = Limits {
            of_route: Arc::default(),
            ..limits.clone()
        };
        let [one, again, same] = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(client);
        let held = [limits.admit(one), limits.admit(again)].map(|held| held.expect("room"));
        assert_eq!(limits.admit(same).expect_err("no room"), Limit::Client);
        assert_eq!(other_route.admit(same).expect_err("no room"), Limit::Client);
        let third = limits.admit(client("192.0.2.1")).expect("room");
        assert_eq!(
            limits.admit(client("192.0.2.2")).expect_err("no room"),
            Limit::Route
        );
        let fourth = other_route.admit(client("192.0.2.3")).expect("room");
        assert_eq!(
            other_route.admit(client("192.0.2.4")).expect_err("no room"),
            Limit::All
        );
        drop((held, third, fourth));
        assert!(limits.counts.0.clients().is_empty());
        let all = limits.counts.0.all.load(Ordering::Relaxed);
        assert_eq!((all, limits.of_route.load(Ordering::Relaxed)), (0, 0));
    }
}
