//! Which certificate a client is shown, and how they change while the gateway runs.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use crate::config::tls::KeyPair;

type Keys = Arc<[Arc<CertifiedKey>]>;

/// The certificates of a listener. The first is for who names no host, or one that none is for.
#[derive(Debug)]
pub(crate) struct Certificates {
    pairs: Vec<KeyPair>,
    keys: RwLock<Keys>,
}

impl Certificates {
    /// # Errors
    ///
    /// When one cannot be read, or has another key.
    pub(crate) fn read(pairs: Vec<KeyPair>) -> Result<Self, String> {
        let keys = RwLock::new(read(&pairs)?);
        Ok(Certificates { pairs, keys })
    }

    /// Reads the files again, and says whether they have changed. Connections keep what they have.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or has another key. All stay as they are.
    pub(crate) fn renew(&self) -> Result<bool, String> {
        let keys = read(&self.pairs)?;
        let is_same = |(one, other): (&Arc<CertifiedKey>, &Arc<CertifiedKey>)| {
            one.cert == other.cert && one.key.public_key() == other.key.public_key()
        };
        if self.keys().iter().zip(keys.iter()).all(is_same) {
            return Ok(false);
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(true)
    }

    fn keys(&self) -> Keys {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }
}

fn read(pairs: &[KeyPair]) -> Result<Keys, String> {
    pairs.iter().map(|pair| pair.read().map(Arc::new)).collect()
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.keys();
        // With one there is nothing to choose.
        let name = hello.server_name().filter(|_| keys.len() > 1);
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| keys.iter().find(|key| is_for(key, &name)));
        named.or(keys.first()).cloned()
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.cert.first().map(EndEntityCert::try_from);
    let certificate = certificate.and_then(Result::ok);
    certificate
        .is_some_and(|certificate| certificate.verify_is_valid_for_subject_name(name).is_ok())
}
