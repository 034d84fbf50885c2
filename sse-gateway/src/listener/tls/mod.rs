//! Connections over TLS.

mod certificates;
mod io;

use std::io::Result;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Connection, Listener, Tcp};
use crate::config::{Error, tls};

pub(crate) use certificates::Certificates;
pub(crate) use io::HANDSHAKES;

/// A listener of TCP whose connections are encrypted.
pub(crate) struct Tls {
    tcp: Tcp,
    acceptor: TlsAcceptor,
}

impl Tls {
    /// With the certificates of now, at each handshake. Clients need one by these authorities, if there are such.
    ///
    /// # Errors
    ///
    /// When the certificates of clients cannot be checked.
    pub(crate) fn new(
        tcp: Tcp,
        certificates: Arc<Certificates>,
        client_ca: Option<&Path>,
    ) -> std::result::Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let wrong = |error: &dyn std::fmt::Display| Error::at("--tls-client-ca", error.to_string());
        let verifier = match client_ca {
            None => Arc::new(NoClientAuth),
            Some(file) => {
                let roots = tls::roots(file).map_err(|error| wrong(&error))?;
                WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
                    .build()
                    .map_err(|error| wrong(&error))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::at("TLS", error))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificates);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = ring::Ticketer::new().map_err(|error| Error::at("TLS", error))?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Tls { tcp, acceptor })
    }
}

impl Listener for Tls {
    type Watch = (TcpStream, TlsAcceptor);
    type Accepted = (std::net::TcpStream, TlsAcceptor);
    type Io = io::TlsIo;

    fn watch(&self) -> Result<Self::Watch> {
        Ok((self.tcp.watch()?, self.acceptor.clone()))
    }

    async fn ready((watch, _): &Self::Watch) -> Result<()> {
        Tcp::ready(watch).await
    }

    fn accept((watch, acceptor): &Self::Watch) -> Result<(Self::Accepted, Connection)> {
        let (stream, connection) = Tcp::accept(watch)?;
        let connection = Connection {
            is_tls: true,
            ..connection
        };
        Ok(((stream, acceptor.clone()), connection))
    }

    fn open((stream, acceptor): Self::Accepted) -> Result<io::TlsIo> {
        Ok(io::TlsIo::new(Tcp::open_stream(stream)?, acceptor))
    }
}
