//! What is asked of an upstream's certificate, and shown to the upstream.

use std::path::PathBuf;

use http::Uri;
use ring::digest;

use super::RouteSettings;
use super::tls::KeyPair;
use super::value::{Parsed, or_wrong};

/// What is asked of an upstream's certificate, and shown to the upstream. Two that are equal have the same files with the same in
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct UpstreamTls {
    /// Whom to trust in place of what the platform trusts.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) own: Option<KeyPair>,
    /// What the certificate is to be for, in place of the upstream's host.
    pub(crate) name: Option<String>,
    pub(crate) is_insecure: bool,
    /// Of what the files have in them.
    content: Vec<u8>,
}

impl UpstreamTls {
    pub(crate) fn new(ca: Option<PathBuf>, own: Option<KeyPair>) -> Self {
        let pair = own.iter().flat_map(|pair| [&pair.cert, &pair.key]);
        let mut content = digest::Context::new(&digest::SHA256);
        for file in ca.iter().chain(pair) {
            // One that cannot be read is told where it is used.
            content.update(&std::fs::read(file).unwrap_or_default());
        }
        UpstreamTls {
            ca,
            own,
            name: None,
            is_insecure: false,
            content: content.finish().as_ref().to_vec(),
        }
    }
}

impl RouteSettings {
    pub(crate) fn upstream_tls(&self) -> UpstreamTls {
        let pair = self.upstream_cert.as_ref().zip(self.upstream_key.as_ref());
        let own = pair.map(|(cert, key)| KeyPair {
            cert: cert.clone(),
            key: key.clone(),
        });
        UpstreamTls {
            name: self.upstream_name.clone(),
            is_insecure: self.upstream_insecure,
            ..UpstreamTls::new(self.upstream_ca.clone(), own)
        }
    }
}

/// What a certificate may be for.
pub(super) fn name(text: &str) -> Parsed<String> {
    let uri: Option<Uri> = text.parse().ok();
    let authority = uri.as_ref().and_then(Uri::authority);
    let is_name = authority.is_some_and(|authority| authority.host() == text);
    let is_known = rustls::pki_types::ServerName::try_from(text).is_ok();
    let why = "is not the name of a host; use one such as app.internal, without a port";
    or_wrong((is_name && is_known).then(|| text.to_owned()), text, why)
}
