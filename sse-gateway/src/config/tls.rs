//! The certificates that the gateway shows to its clients, and those of clients that it takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::GatewaySettings;
use super::value::Parsed;

/// The files of a certificate and of its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyPair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl KeyPair {
    /// The certificate with those that lead from it to one that is known, and its key.
    ///
    /// # Errors
    ///
    /// When one cannot be read.
    pub(crate) fn parts(&self) -> Result<Parts, String> {
        Ok((certificates(&self.cert)?, private_key(&self.key)?))
    }

    /// What is in them now.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or they do not belong together.
    pub(crate) fn read(&self) -> Result<CertifiedKey, String> {
        let (cert, key) = self.parts()?;
        CertifiedKey::from_der(cert, key, &ring::default_provider()).map_err(|error| {
            let (cert, key) = (&self.cert, &self.key);
            match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    format!("{key:?} is not the key of the certificate in {cert:?}")
                }
                rustls::Error::InvalidCertificate(_) => {
                    format!("the first certificate in {cert:?} is none of a server: {error}")
                }
                _ => format!("{key:?} is not a key that can be used: {error}"),
            }
        })
    }
}

type Parts = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl GatewaySettings {
    /// The certificates of the listener. There are as many keys.
    pub(crate) fn key_pairs(&self) -> Vec<KeyPair> {
        let pairs = self.tls_cert.iter().zip(&self.tls_key);
        let pair = |(cert, key): (&PathBuf, &PathBuf)| KeyPair {
            cert: cert.clone(),
            key: key.clone(),
        };
        pairs.map(pair).collect()
    }
}

/// A file with a certificate, and those that lead from it to one that clients know.
pub(super) fn cert_file(path: &str) -> Parsed<PathBuf> {
    certificates(path.as_ref()).map(|_| path.into())
}

/// A file with a private key.
pub(super) fn key_file(path: &str) -> Parsed<PathBuf> {
    private_key(path.as_ref()).map(|_| path.into())
}

/// A file with certificates that are trusted.
pub(super) fn ca_file(path: &str) -> Parsed<PathBuf> {
    roots(path.as_ref()).map(|_| path.into())
}

/// The certificates in a file, as those that are trusted.
///
/// # Errors
///
/// When it cannot be read, or has none.
pub(crate) fn roots(path: &Path) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{path:?} has a certificate that cannot be used: {error}"))?;
    }
    Ok(Arc::new(roots))
}

/// The certificates in a file.
///
/// # Errors
///
/// When it cannot be read, or has none.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let right = "give a PEM file that begins with -----BEGIN CERTIFICATE-----";
    let bytes = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates =
        certificates.map_err(|error| format!("{path:?}: {}; {right}", in_words(&error)))?;
    match certificates.is_empty() {
        true => Err(format!("{path:?} has no certificate; {right}")),
        false => Ok(certificates),
    }
}

/// The library's own text shows bytes as numbers.
fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it ends before its last -----END line".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line is not whole".to_owned(),
        error => error.to_string(),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let right = "give a PEM file that begins with -----BEGIN PRIVATE KEY-----";
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(&bytes) => format!(
            "the key in {path:?} is encrypted; decrypt it: openssl pkey -in {path:?} -out key.pem"
        ),
        pem::Error::NoItemsFound => format!("{path:?} has no private key; {right}"),
        error => format!("{path:?}: {}; {right}", in_words(&error)),
    })
}

fn is_encrypted(pem: &[u8]) -> bool {
    let begin = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    pem.windows(begin.len()).any(|at| at == begin)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path:?} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_half_written_is_told_in_words() {
        let file = std::env::temp_dir().join(format!("gateway-half-{}.pem", std::process::id()));
        for (text, what) in [
            (
                "-----BEGIN CERTIFICATE-----\nMIIB\n",
                "it ends before its last -----END line",
            ),
            (
                "-----BEGIN CERTIF\nMIIB\n",
                "a -----BEGIN line is not whole",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nMIIB\n",
                "it ends before its last -----END line",
            ),
        ] {
            std::fs::write(&file, text).expect("is written");
            let path = file.to_str().expect("text");
            let told = [cert_file(path), key_file(path)].map(|read| read.expect_err(text));
            assert!(told.iter().all(|told| told.contains(what)), "{told:?}");
        }
        std::fs::remove_file(&file).expect("is removed");
    }
}
