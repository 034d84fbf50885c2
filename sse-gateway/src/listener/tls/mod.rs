//! Connections over TLS.

mod certificates;
mod identity;
mod io;

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

use crate::config::{Error, tls};

pub(crate) use certificates::Certificates;
pub(crate) use identity::{Identity, Wanted};
pub(crate) use io::HANDSHAKES;
pub(super) use io::TlsIo;

/// How TLS is spoken. Clones are the same.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    /// What is told of clients by their certificates.
    wanted: Wanted,
}

impl Tls {
    /// With the certificates of now, at each handshake. Clients need one by these authorities, if there are such.
    ///
    /// # Errors
    ///
    /// When the certificates of clients cannot be checked.
    pub(crate) fn new(
        certificates: Arc<Certificates>,
        client_ca: Option<&Path>,
        wanted: Wanted,
    ) -> Result<Self, Error> {
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
        Ok(Tls { acceptor, wanted })
    }
}
