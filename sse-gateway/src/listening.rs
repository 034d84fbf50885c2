//! Where clients connect to: one listener for each address.

use std::future::Future;
use std::sync::Arc;

use crate::config::{Config, Error, ListenAddress, ListenerSettings};
use crate::descriptors::For;
use crate::listener::tls::{Certificates, Tls};
use crate::listener::{
    self, Answers, Edge, Expected, Inherited, IsTrusted, Source, Tcp, Terms, Unix,
};
use crate::shutdown::Shutdown;
use crate::stack::router::Router;
use crate::workers::Workers;

/// A listener that is yet to accept.
pub(crate) struct Listening {
    terms: Terms,
    /// Where it is, with the port that the system chose.
    pub(crate) address: ListenAddress,
    pub(crate) certificates: Option<Arc<Certificates>>,
    listener: Kind,
}

enum Kind {
    Plain(Tcp),
    Edge(Edge),
}

const FLAG: &str = "--listen";

/// Begins to listen on all of these; at any free port where the one that is meant is in use and may be another.
///
/// # Errors
///
/// When it may not listen there, or a certificate cannot be used.
pub(crate) fn bind_all(
    config: &Config,
    may_move: bool,
    router: &Router,
) -> Result<Vec<Listening>, Error> {
    let gone_after = config.gateway.client_gone_timeout;
    let (trusts, admits) = (router.clone(), router.clone());
    let is_trusted: IsTrusted = Arc::new(move |peer| trusts.trusts(peer));
    let terms = Terms {
        admits: Some(Arc::new(move |client| admits.admits(client))),
        ..Terms::new(For::Clients, gone_after)
    };
    let mut inherited = None;
    let mut all = Vec::new();
    for settings in &config.listeners {
        let sources = match &settings.address {
            ListenAddress::Tcp(address) => {
                let bind = if may_move {
                    Tcp::bind_or_free
                } else {
                    Tcp::bind
                };
                let (tcp, address) = bind(*address, gone_after, FLAG)?;
                vec![(Source::Tcp(tcp), ListenAddress::Tcp(address))]
            }
            ListenAddress::Unix(path) => {
                let unix = Unix::bind(path, settings.mode, FLAG)?;
                vec![(Source::Unix(unix), settings.address.clone())]
            }
            ListenAddress::Systemd(name) => {
                let passed = match &mut inherited {
                    Some(passed) => passed,
                    none => none.insert(Inherited::take_over(gone_after)?),
                };
                passed.take(name.as_deref())?
            }
        };
        for (source, address) in sources {
            all.push(Listening::new(
                source,
                address,
                settings,
                terms.clone(),
                &is_trusted,
            )?);
        }
    }
    let left = inherited.map_or_else(String::new, |passed| passed.names());
    if !left.is_empty() {
        tracing::warn!(
            names = left,
            "systemd has passed sockets on which --listen does not listen"
        );
    }
    Ok(all)
}

impl Listening {
    fn new(
        source: Source,
        address: ListenAddress,
        settings: &ListenerSettings,
        mut terms: Terms,
        is_trusted: &IsTrusted,
    ) -> Result<Self, Error> {
        let certificates = match settings.key_pairs.is_empty() {
            true => None,
            false => {
                let certificates = Certificates::read(settings.key_pairs.clone());
                let certificates = certificates.map_err(|error| Error::at("--tls-cert", error))?;
                Some(Arc::new(certificates))
            }
        };
        let header = settings.proxy_protocol;
        let header = header.map(|protocol| {
            // Who it is from, is known behind the header.
            Expected::new(protocol, is_trusted.clone(), terms.admits.take())
        });
        let listener = match (source, header, &certificates) {
            (Source::Tcp(tcp), None, None) => Kind::Plain(tcp),
            (source, header, certificates) => {
                let client_ca = settings.client_ca.as_deref();
                let wanted = settings.client_fields.clone().into();
                let tls = certificates.clone();
                let tls = tls.map(|certificates| Tls::new(certificates, client_ca, wanted));
                Kind::Edge(Edge::new(source, header, tls.transpose()?))
            }
        };
        Ok(Listening {
            terms,
            address,
            certificates,
            listener,
        })
    }

    /// Has clients served. What it gives resolves when the last of all connections is gone.
    pub(crate) async fn start<S: Answers + Sync>(
        self,
        service: S,
        workers: Workers,
        shutdown: Shutdown,
    ) -> impl Future<Output = ()> + Send + 'static {
        let make = move || service.clone();
        match self.listener {
            Kind::Plain(tcp) => {
                let server = listener::start(self.terms, tcp, make, workers, shutdown).await;
                Box::pin(server) as BoxFuture
            }
            Kind::Edge(edge) => {
                Box::pin(listener::start(self.terms, edge, make, workers, shutdown).await)
            }
        }
    }

    /// Such as `https://127.0.0.1:8443`, or the path of a socket.
    pub(crate) fn url(&self) -> String {
        let (address, is_tls) = (&self.address, self.certificates.is_some());
        match (address, is_tls) {
            (ListenAddress::Tcp(address), false) => format!("http://{address}"),
            (ListenAddress::Tcp(address), true) => format!("https://{address}"),
            (_, false) => address.to_string(),
            (_, true) => format!("{address} (https)"),
        }
    }
}

type BoxFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
