//! Connections over TLS.

mod certificates;
mod io;

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};

use crate::config::{Error, tls};

pub(crate) use certificates::Certificates;
pub(crate) use io::HANDSHAKES;
pub(super) use io::TlsIo;

/// How TLS is spoken, with the certificates of now, at each handshake. Clients need one by these authorities, if there are such.
///
/// # Errors
///
/// When the certificates of clients cannot be checked.
pub(crate) fn config(
    certificates: Arc<Certificates>,
    client_ca: Option<&Path>,
) -> Result<ServerConfig, Error> {
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
    Ok(config)
}
