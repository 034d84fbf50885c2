//! What a server and a relay tell each other in the extensions of a request.

use std::net::IpAddr;
use std::sync::Arc;

/// The address of the client of a request, as far as it is to be believed.
///
/// A server puts it into the extensions of its requests. A relay bounds by it what one client can leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

/// The path of a request as it may be shown in lists and logs, where the path itself may hold a secret.
///
/// A server puts it into the extensions of its requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShownPath(pub Arc<str>);

/// The mark of a request that a relay makes for all clients of its key.
///
/// It is in the extensions of such a request. What the service inside adds of one client, such as its address, is to be left
/// out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ForAll(pub(super) ());

/// The mark of a request whose `Last-Event-ID` a relay has looked at: what is left of it is the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LastEventIdTaken(pub(super) ());
