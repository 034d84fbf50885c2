//! The keys by which tokens are checked, as files have them.

use std::path::Path;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

/// One key.
#[derive(Clone)]
pub(crate) struct Key {
    /// By which a token may name it.
    pub(crate) id: Option<String>,
    pub(crate) key: DecodingKey,
    /// With which it may be used.
    pub(crate) algorithms: Vec<Algorithm>,
}

const MOST_KEYS: usize = 100;
/// RFC 7518 section 3.2 asks for as much as the hash has.
const LEAST_SECRET: usize = 32;

/// The keys of a file.
///
/// # Errors
///
/// When it cannot be read, or has none that tokens can be checked by.
pub(crate) fn read(path: &Path) -> Result<Vec<Key>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path:?} cannot be read: {error}"))?;
    keys(&bytes).map_err(|why| {
        format!(
            "{path:?} {why}; give public keys in PEM, a JSON Web Key Set, or a secret of {LEAST_SECRET} bytes or more"
        )
    })
}

/// The keys of a key set that anybody can read, so without those that make tokens as well.
///
/// # Errors
///
/// When it is none, or has no key that tokens can be checked by.
pub(crate) fn published(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if !text.trim_start().starts_with('{') {
        return Err("is no JSON Web Key Set".to_owned());
    }
    let mut keys = keys(bytes)?;
    keys.retain(|key| {
        let makes = |algorithm: &Algorithm| SECRETS.contains(algorithm);
        !key.algorithms.iter().any(makes)
    });
    match keys.is_empty() {
        true => Err("has only secrets, which are not to be published".to_owned()),
        false => Ok(keys),
    }
}

const SECRETS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

fn keys(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let keys = match text.trim_start() {
        pem if pem.contains("-----BEGIN ") => of_pem(pem)?,
        json if json.starts_with('{') => of_set(json)?,
        _ => of_secret(bytes)?,
    };
    match keys.len() {
        0 => Err("has no key that tokens can be checked by".to_owned()),
        1..=MOST_KEYS => Ok(keys),
        _ => Err(format!("has more than {MOST_KEYS} keys")),
    }
}

fn of_secret(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let secret = bytes.trim_ascii_end();
    if secret.len() < LEAST_SECRET {
        return Err(format!(
            "is neither PEM nor JSON, and a secret of {} bytes is too short",
            secret.len()
        ));
    }
    Ok(vec![Key {
        id: None,
        key: DecodingKey::from_secret(secret),
        algorithms: SECRETS.to_vec(),
    }])
}

fn of_pem(text: &str) -> Result<Vec<Key>, String> {
    if text.contains("PRIVATE KEY-----") {
        return Err("has a private key, which is for who makes tokens".to_owned());
    }
    let mut keys = Vec::new();
    for part in text.split_inclusive("-----END ") {
        let Some(begin) = part.find("-----BEGIN ") else {
            continue;
        };
        let label = part[begin..].trim_start_matches("-----BEGIN ");
        let label = label.split("-----").next().unwrap_or_default();
        let block = format!("{}{label}-----\n", &part[begin..]);
        keys.push(of_block(block.as_bytes()).ok_or_else(|| {
            format!("has a {label} that is no public key of RSA, P-256, P-384 or Ed25519")
        })?);
    }
    Ok(keys)
}

fn of_block(pem: &[u8]) -> Option<Key> {
    let of = |key: Result<DecodingKey, _>, algorithms: &[Algorithm]| {
        let key = key.ok()?;
        let algorithms = algorithms.to_vec();
        let id = None;
        Some(Key {
            id,
            key,
            algorithms,
        })
    };
    of(DecodingKey::from_rsa_pem(pem), &RSA)
        .or_else(|| of(DecodingKey::from_ed_pem(pem), &[Algorithm::EdDSA]))
        .or_else(|| {
            let key = of(DecodingKey::from_ec_pem(pem), &[])?;
            // A point of P-256 has 65 bytes, one of P-384 97 (SEC 1 section 2.3.3).
            let algorithms = match key.key.as_bytes().len() {
                65 => vec![Algorithm::ES256],
                97 => vec![Algorithm::ES384],
                _ => return None,
            };
            Some(Key { algorithms, ..key })
        })
}

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// A set may have keys for other uses, and of kinds that are not known here: these are left out (RFC 7517 section 5).
fn of_set(json: &str) -> Result<Vec<Key>, String> {
    let set: serde_json::Value =
        serde_json::from_str(json).map_err(|error| format!("is no JSON: {error}"))?;
    let Some(keys) = set.get("keys").and_then(serde_json::Value::as_array) else {
        return Err("has no \"keys\"".to_owned());
    };
    let set: JwkSet = JwkSet {
        keys: keys
            .iter()
            .filter_map(|key| serde_json::from_value(key.clone()).ok())
            .collect(),
    };
    Ok(set.keys.iter().filter_map(of_jwk).collect())
}

fn of_jwk(jwk: &Jwk) -> Option<Key> {
    use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, PublicKeyUse};
    if jwk
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|is_for| *is_for != PublicKeyUse::Signature)
    {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA.to_vec(),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::ES256],
            EllipticCurve::P384 => vec![Algorithm::ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        AlgorithmParameters::OctetKey(_) => {
            vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]
        }
        AlgorithmParameters::OctetKeyPair(_) => return None,
    };
    if let Some(named) = &jwk.common.key_algorithm {
        algorithms.retain(|algorithm| format!("{algorithm:?}") == named.to_string());
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let is_short = key.family() == AlgorithmFamily::Hmac
        && key.try_get_hmac_secret().ok()?.len() < LEAST_SECRET;
    (!algorithms.is_empty() && !is_short).then(|| Key {
        id: jwk.common.key_id.clone(),
        key,
        algorithms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_anybody_can_read_is_no_secret() {
        const SECRET: &str =
            r#"{"kty":"oct","k":"YSBzZWNyZXQgb2YgbW9yZSB0aGFuIHRoaXJ0eS10d28gYnl0ZXM"}"#;
        const PUBLIC: &str =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let why = |text: &str| published(text.as_bytes()).err();
        let page = "<html>a page that is longer than thirty-two bytes</html>";
        assert_eq!(why(page).as_deref(), Some("is no JSON Web Key Set"));
        assert_eq!(why("{}").as_deref(), Some("has no \"keys\""));
        let none = "has no key that tokens can be checked by";
        assert_eq!(why(r#"{"keys":[]}"#).as_deref(), Some(none));
        let secrets = "has only secrets, which are not to be published";
        let set = format!(r#"{{"keys":[{SECRET}]}}"#);
        assert_eq!(why(&set).as_deref(), Some(secrets));
        let keys = published(format!(r#"{{"keys":[{SECRET},{PUBLIC}]}}"#).as_bytes());
        let algorithms: Vec<_> = keys
            .into_iter()
            .flatten()
            .map(|key| key.algorithms)
            .collect();
        assert_eq!(algorithms, [[Algorithm::EdDSA]]);
        // In a file of one's own it is one.
        assert_eq!(keys_of(&set), 1);
    }

    fn keys_of(text: &str) -> usize {
        super::keys(text.as_bytes()).map_or(0, |keys| keys.len())
    }
}
