//! What `sse-gateway demo` puts around the gateway: an upstream to stand in front of, and a page to look at it with.
//!
//! The upstream ([`upstream`], [`streams`]) is an ordinary little server which knows nothing of heartbeats or
//! reconnection times, as most do. The gateway before it is set by a file, as anybody's is ([`settings`]). What is
//! special lies in front of the gateway ([`service`]): the page with its buttons ([`control`]), and a way to cut the
//! connections of clients ([`cut`]). Nothing of it is there when the gateway runs for itself.

mod control;
mod cut;
mod nodes;
mod page;
mod query;
mod run;
mod seen;
mod service;
pub(crate) mod settings_of_nodes;
mod streams;
mod upstream;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use crate::config::{Config, Error, File};
use cut::Cuts;
use nodes::Nodes;
pub(crate) use run::run;
use streams::Pace;
use upstream::Upstream;

/// The settings of the gateway in the demo. Its upstream is not: that is wherever [`Demo::addr`] says.
///
/// # Errors
///
/// None but for a mistake in the file that is built in.
pub(crate) fn settings() -> Result<File, Error> {
    File::parse(&"demo/gateway.toml".into(), page::SETTINGS)
}

/// The demo's upstream and the buttons that act on it. Clones are handles of the same one, which ends with the last of them.
#[derive(Clone)]
pub(crate) struct Demo {
    inner: Arc<Inner>,
}

struct Inner {
    upstream: Upstream,
    cuts: Cuts,
    buttons: OnceLock<Buttons>,
    nodes: OnceLock<Nodes>,
}

/// What the demo asks of the gateway.
struct Buttons {
    /// What the button "Drain" does.
    drain: Box<dyn Fn() + Send + Sync>,
    /// The relays, as `/streams` lists them.
    relays: Box<dyn Fn() -> Vec<Value> + Send + Sync>,
    /// The streams that are open, as `/streams` lists them.
    streams: Box<dyn Fn() -> Vec<Value> + Send + Sync>,
}

impl Demo {
    /// Starts the upstream on a free port of the loopback address.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    pub(crate) async fn start() -> io::Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner {
                upstream: Upstream::start(Pace::default()).await?,
                cuts: Cuts::default(),
                buttons: OnceLock::new(),
                nodes: OnceLock::new(),
            }),
        })
    }

    /// Where the upstream listens, also across a restart.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.inner.upstream.addr()
    }

    /// Starts gateways that share streams by the store of these settings.
    ///
    /// # Errors
    ///
    /// When there is no store that can be used.
    pub(crate) async fn start_nodes(&self, config: Config) -> Result<(), Error> {
        let nodes = Nodes::start(config, self).await?;
        let _ = self.inner.nodes.set(nodes);
        Ok(())
    }

    /// Says whom to ask. The first call counts.
    fn stands_before(&self, buttons: Buttons) {
        let _ = self.inner.buttons.set(buttons);
    }
}
