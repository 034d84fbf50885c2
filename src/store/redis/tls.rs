//! TLS to a store.

use std::fmt;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::StoreError;

/// Certificates and keys, as PEM.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// Whose certificates are trusted; otherwise, those whom the system trusts.
    pub(super) ca: Option<Vec<u8>>,
    /// What is shown to the server, and its key.
    pub(super) own: Option<(Vec<u8>, Vec<u8>)>,
}

/// How TLS is spoken to a server.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Certificates {
    pub(super) fn tls(&self) -> Result<Tls, StoreError> {
        // No default of the process is looked for: another part of it may have chosen one, or two.
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(StoreError::certificates)?
            .with_root_certificates(roots(self.ca.as_deref())?);
        let config = match &self.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key);
                let key = key.map_err(StoreError::certificates)?;
                let chain = certificates(certificate)?;
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(StoreError::certificates)?
            }
        };
        Ok(Tls(TlsConnector::from(Arc::new(config))))
    }
}

impl Tls {
    pub(super) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, StoreError> {
        let name = ServerName::try_from(host.to_owned()).map_err(StoreError::certificates)?;
        let connected = self.0.connect(name, stream).await;
        connected.map_err(StoreError::io)
    }
}

fn roots(ca: Option<&[u8]>) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(ca) => {
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(StoreError::certificates)?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    match roots.is_empty() {
        true => Err(StoreError::certificates("none is there to be trusted")),
        false => Ok(roots),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    all.map_err(StoreError::certificates)
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
