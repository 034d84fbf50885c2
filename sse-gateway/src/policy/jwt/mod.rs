//! Tokens that say who asks, and until when (RFC 7519).

mod crypto;
mod fetched;
mod keys;
mod layer;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, request};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::unauthorized;
use crate::answer::Refusal;
use crate::config::jwt_keys::Key;
use crate::config::{Error, KeysAt, RouteSettings};
use crate::fields::remove_all;
use crate::policy::expiry::ExpiresAt;
use fetched::KeyUrl;
use keys::KeyFile;
pub(crate) use layer::FetchedJwt;

/// What a route asks of a token.
#[derive(Clone)]
pub(super) struct Jwt(Arc<Asked>);

struct Asked {
    keys: Keys,
    issuer: Option<String>,
    audience: Vec<String>,
    /// Claims that have to be there, with these values.
    claims: Vec<(String, String)>,
    /// Fields that go upstream, and the claims that they are made of.
    fields: Vec<(HeaderName, String)>,
    leeway: Duration,
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").finish_non_exhaustive()
    }
}

enum Keys {
    File(KeyFile),
    Url(Arc<KeyUrl>),
}

impl Keys {
    fn now(&self) -> Arc<[Key]> {
        match self {
            Keys::File(file) => file.keys(),
            Keys::Url(url) => url.keys(),
        }
    }

    /// Others, if there may be any for which nobody has to wait.
    fn newer(&self) -> Option<Arc<[Key]>> {
        match self {
            Keys::File(file) => file.newer(),
            Keys::Url(_) => None,
        }
    }
}

type Claims = Map<String, Value>;

impl Jwt {
    /// None where no token is asked for.
    ///
    /// # Errors
    ///
    /// When there are no keys to check tokens by.
    pub(super) fn of(settings: &RouteSettings) -> Result<Option<Self>, Error> {
        let Some(keys) = &settings.jwt_keys else {
            return Ok(None);
        };
        crypto::install();
        let keys = match keys {
            KeysAt::File(path) => {
                let file = KeyFile::read(path);
                Keys::File(file.map_err(|why| Error::at("jwt.keys", why))?)
            }
            KeysAt::Url(url) => {
                let keys = KeyUrl::new(url)?;
                let first = keys.clone();
                // Nobody has to wait for them then, and the log says early what is wrong.
                tokio::spawn(async move { first.ready().await });
                Keys::Url(keys)
            }
        };
        Ok(Some(Jwt(Arc::new(Asked {
            keys,
            issuer: settings.jwt_issuer.clone(),
            audience: settings.jwt_audience.clone(),
            claims: settings.jwt_claims.clone(),
            fields: settings.jwt_fields.clone(),
            leeway: settings.jwt_leeway,
        }))))
    }

    /// Whether its keys have to be fetched.
    pub(super) fn is_fetched(&self) -> bool {
        matches!(self.0.keys, Keys::Url(_))
    }

    /// None where they have not.
    pub(super) fn layer(&self, leaves: bool) -> Option<FetchedJwt> {
        match &self.0.keys {
            Keys::File(_) => None,
            Keys::Url(keys) => Some(FetchedJwt {
                jwt: self.clone(),
                keys: keys.clone(),
                leaves,
            }),
        }
    }

    /// Lets a request through whose token is right, with the fields that are made of it, and until when.
    ///
    /// # Errors
    ///
    /// When there is no such token.
    pub(super) fn admit(&self, parts: &mut request::Parts) -> Result<(), Refusal> {
        // What the client says of itself is never believed.
        let fields = &self.0.fields;
        remove_all(&mut parts.headers, fields.iter().map(|(field, _)| field));
        let token = bearer(parts).ok_or(unauthorized("There is no bearer token.\n"))?;
        let claims = self
            .0
            .check(token)
            .map_err(|why| unauthorized(why_not(&why)))?;
        for (name, claim) in fields {
            if let Some(value) = claims.get(claim).and_then(written) {
                parts.headers.insert(name, value);
            }
        }
        if let Some(expires) = expires(&claims) {
            let ends = expires.saturating_add(self.0.leeway);
            let left = ends.saturating_sub(since_epoch());
            // jsonwebtoken counts whole seconds: a stream would open and end at once, and come back.
            if left.is_zero() {
                return Err(unauthorized(why_not(&ErrorKind::ExpiredSignature)));
            }
            parts.extensions.insert(ExpiresAt::after(left));
        }
        Ok(())
    }
}

impl Asked {
    fn check(&self, token: &str) -> Result<Claims, ErrorKind> {
        let header = decode_header(token).map_err(|error| error.kind().clone())?;
        let fits = |key: &&Key| {
            let is_it = match (&header.kid, &key.id) {
                (Some(named), Some(id)) => named == id,
                _ => true,
            };
            is_it && key.algorithms.contains(&header.alg)
        };
        let mut error = ErrorKind::InvalidSignature;
        for keys in [Some(self.keys.now()), None] {
            let Some(keys) = keys.or_else(|| self.keys.newer()) else {
                break;
            };
            for key in keys.iter().filter(fits) {
                match decode::<Claims>(token, &key.key, &self.validation(key)) {
                    Ok(data) => return self.has_claims(data.claims),
                    Err(other) => error = other.into_kind(),
                }
            }
            // By another key it would be no better.
            if error != ErrorKind::InvalidSignature {
                break;
            }
        }
        Err(error)
    }

    fn validation(&self, key: &Key) -> Validation {
        let mut validation = Validation::new(key.algorithms[0]);
        validation.algorithms.clone_from(&key.algorithms);
        validation.leeway = self.leeway.as_secs();
        validation.validate_nbf = true;
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if !self.audience.is_empty() {
            validation.set_audience(&self.audience);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        validation
    }

    fn has_claims(&self, claims: Claims) -> Result<Claims, ErrorKind> {
        let is_so = |name: &str, value: &str| match claims.get(name) {
            Some(Value::Array(all)) => all.iter().any(|one| text(one).as_deref() == Some(value)),
            // Scopes are words in one text (RFC 8693 section 4.2).
            Some(Value::String(words)) if name == "scope" => {
                words.split(' ').any(|word| word == value)
            }
            Some(one) => text(one).as_deref() == Some(value),
            None => false,
        };
        match self.claims.iter().find(|(name, value)| !is_so(name, value)) {
            None => Ok(claims),
            Some((name, _)) => Err(ErrorKind::MissingRequiredClaim(name.clone())),
        }
    }
}

const UNKNOWN_KEY: &str = "The token is not signed by a key that is known here.\n";

/// What a client is told. The claims that are asked for are no affair of a stranger.
fn why_not(error: &ErrorKind) -> &'static str {
    match error {
        ErrorKind::ExpiredSignature => "The token has expired.\n",
        ErrorKind::ImmatureSignature => "The token is not valid yet.\n",
        ErrorKind::InvalidIssuer => "The token is by another issuer.\n",
        ErrorKind::InvalidAudience => "The token is for another audience.\n",
        ErrorKind::MissingRequiredClaim(_) => "The token lacks a claim.\n",
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => UNKNOWN_KEY,
        _ => "The token is none.\n",
    }
}

fn bearer(parts: &request::Parts) -> Option<&str> {
    let mut lines = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn expires(claims: &Claims) -> Option<Duration> {
    let seconds = claims.get("exp")?.as_f64()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// As the upstream reads it. None where that would be something else.
fn written(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::Array(all) => {
            let item = |one| text(one).filter(|text| !text.contains(',') && is_as_read(text));
            all.iter().map(item).collect::<Option<Vec<_>>>()?.join(",")
        }
        one => text(one).filter(|text| is_as_read(text))?,
    };
    HeaderValue::try_from(text).ok()
}

/// Space around a value is no part of it (RFC 9110 section 5.5).
fn is_as_read(text: &str) -> bool {
    text.trim_matches([' ', '\t']) == text
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        _ => None,
    }
}
