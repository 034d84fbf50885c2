//! What a client's certificate says of it, as fields that go upstream.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::config::CertificatePart;

/// Fields, and what each is made of.
pub(crate) type Wanted = Arc<[(HeaderName, CertificatePart)]>;
/// The fields of a client.
pub(crate) type Identity = Arc<[(HeaderName, HeaderValue)]>;

/// Of a certificate that was checked. What it does not say has no field.
pub(super) fn of(certificate: &CertificateDer<'_>, wanted: &Wanted) -> Identity {
    let parsed = parse_x509_certificate(certificate).ok();
    let parsed = parsed.as_ref().map(|(_, parsed)| parsed);
    let field = |(name, part): &(HeaderName, CertificatePart)| {
        let text = match part {
            CertificatePart::Fingerprint => Some(fingerprint(certificate)),
            part => parsed.and_then(|parsed| said(parsed, *part)),
        };
        let value = HeaderValue::from_bytes(text?.as_bytes()).ok()?;
        Some((name.clone(), value))
    };
    wanted.iter().filter_map(field).collect()
}

/// The first of its kind: a list could not be told from a name with a comma in it.
fn said(certificate: &X509Certificate<'_>, part: CertificatePart) -> Option<String> {
    let alternative = |part| {
        let names = certificate.subject_alternative_name().ok()??;
        names
            .value
            .general_names
            .iter()
            .find_map(|name| match (part, name) {
                (CertificatePart::Dns, GeneralName::DNSName(text))
                | (CertificatePart::Uri, GeneralName::URI(text))
                | (CertificatePart::Email, GeneralName::RFC822Name(text)) => {
                    Some((*text).to_owned())
                }
                _ => None,
            })
    };
    match part {
        CertificatePart::CommonName => {
            let mut names = certificate.subject().iter_common_name();
            Some(names.next()?.as_str().ok()?.to_owned())
        }
        part => alternative(part),
    }
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let hash = digest(&SHA256, certificate);
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
