//! Whom an upstream has to prove to be.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_platform_verifier::Verifier;

use crate::config::tls;
use crate::config::upstream_tls::UpstreamTls;

/// How connections to an upstream are encrypted.
///
/// # Errors
///
/// When a file cannot be read, or the platform trusts nobody.
pub(super) fn client_config(settings: &UpstreamTls) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(settings, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match &settings.own {
        None => Ok(builder.with_no_client_auth()),
        Some(pair) => {
            let (certificates, key) = pair.parts()?;
            let config = builder.with_client_auth_cert(certificates, key);
            config.map_err(|error| format!("{:?} cannot be shown: {error}", pair.cert))
        }
    }
}

fn verifier(
    settings: &UpstreamTls,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    if settings.is_insecure {
        return Ok(Arc::new(Anybody(provider.clone())));
    }
    let Some(path) = &settings.ca else {
        // What the platform trusts; on Linux also `SSL_CERT_FILE` and `SSL_CERT_DIR`.
        let verifier = Verifier::new(provider.clone());
        return Ok(Arc::new(verifier.map_err(|error| error.to_string())?));
    };
    let certificates = tls::certificates(path)?;
    let roots = tls::roots(path)?;
    let by_these = |roots: Arc<RootCertStore>| {
        WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build()
    };
    let inner = by_these(roots).map_err(|error| error.to_string())?;
    Ok(Arc::new(These {
        inner,
        certificates,
    }))
}

/// Who has a certificate by one of these authorities, or one of these certificates itself: many that sign themselves say that
/// they are an authority, which a server is not to be.
#[derive(Debug)]
struct These {
    inner: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for These {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .inner
            .verify_server_cert(shown, between, name, ocsp, now);
        match &verified {
            Err(Error::InvalidCertificate(CertificateError::Other(OtherError(why))))
                if is_authority(&**why) && self.certificates.iter().any(|known| known == shown) =>
            {
                verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// It is seen only once the time of the certificate is seen to be right.
fn is_authority(why: &(dyn std::error::Error + 'static)) -> bool {
    matches!(why.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whoever answers, if only the handshake is by the key of the certificate that is shown.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What is wrong with an upstream's certificate, and what can be done.
pub(in crate::proxy) fn fault(error: &Error) -> Option<String> {
    use CertificateError as Fault;

    let Error::InvalidCertificate(fault) = error else {
        return match error {
            Error::AlertReceived(rustls::AlertDescription::CertificateRequired) => Some(
                "it wants a certificate of its clients: give one with --upstream-cert and --upstream-key".to_owned(),
            ),
            Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)
            | Error::PeerIncompatible(_) => Some("it speaks neither TLS 1.2 nor 1.3 as they are spoken here: renew what serves TLS there".to_owned()),
            Error::InvalidMessage(_) => Some("it does not speak TLS: use http:// for it".to_owned()),
            _ => None,
        };
    };
    let what = match fault {
        Fault::UnknownIssuer => {
            "its certificate is self-signed, or by an authority that is not trusted here: give that one with --upstream-ca FILE"
        }
        Fault::BadSignature => {
            "its certificate is by another authority that has the name of one that is trusted: give that one with --upstream-ca FILE"
        }
        Fault::Other(OtherError(why)) if is_authority(&**why) => {
            "its certificate is self-signed and says that it is an authority: give it with --upstream-ca FILE"
        }
        Fault::Expired | Fault::ExpiredContext { .. } => {
            "its certificate has expired: renew it there"
        }
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => {
            "its certificate is not valid yet: look at the clocks"
        }
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
            "its certificate is for another name: ask by that, or say it with --upstream-name NAME"
        }
        Fault::Revoked => "its certificate is revoked",
        _ => return None,
    };
    Some(what.to_owned())
}
