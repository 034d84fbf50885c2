//! What a route asks of a request before anything else sees it: who may read, and by which token.

mod admission;
mod by_field;
pub(crate) mod expiry;
mod forward_auth;
mod jwt;
pub(crate) mod limits;
mod origin;
pub(crate) mod path;
pub(crate) mod rate;
mod token;
mod undecided;

use std::sync::Arc;

use http::header::{ORIGIN, UPGRADE};
use http::{Method, StatusCode, request};
use tower_http::cors::CorsLayer;

use crate::answer::Refusal;
use crate::config::{Error, NoAnswer, Origins, RouteSettings};
use crate::fields::accepts_event_stream;

pub(crate) use admission::{AdmissionLayer, REFUSED};
use by_field::ByField;
use forward_auth::{Decider, ForwardAuth};
use jwt::{FetchedJwt, Jwt};
use limits::Limits;
use token::TokenPlaces;

/// The policy of a route.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    token: TokenPlaces,
    jwt: Option<Jwt>,
    origins: Option<Origins>,
    decider: Option<Arc<Decider>>,
    limits: Limits,
    /// Whether a client that comes back by itself is left without an answer.
    leaves: bool,
}

/// 401.
const fn unauthorized(message: &'static str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, message)
}

impl Policy {
    /// # Errors
    ///
    /// When there are no keys to check tokens by.
    pub(crate) fn of(settings: &RouteSettings, limits: Limits) -> Result<Self, Error> {
        Ok(Policy {
            jwt: Jwt::of(settings)?,
            decider: Decider::of(settings)?,
            limits,
            leaves: settings.no_answer != NoAnswer::Answer,
            token: TokenPlaces {
                param: settings.token_param.clone(),
                cookie: settings.token_cookie.clone(),
            },
            origins: settings.cors_origins.clone(),
        })
    }

    /// Whether it asks or counts anything.
    pub(crate) fn is_set(&self) -> bool {
        self.token != TokenPlaces::default()
            || self.jwt.is_some()
            || self.decider.is_some()
            || self.origins.is_some()
            || self.limits.is_set()
    }

    /// What tells browsers which pages may read, if that is told.
    pub(crate) fn cors(&self) -> Option<CorsLayer> {
        self.origins.as_ref().map(origin::layer)
    }

    /// What checks tokens by keys that have to be fetched, if any are.
    pub(crate) fn jwt(&self) -> Option<FetchedJwt> {
        self.jwt.as_ref().and_then(|jwt| jwt.layer(self.leaves))
    }

    /// Who else decides, if anybody does.
    pub(crate) fn forward_auth(&self) -> Option<ForwardAuth> {
        self.decider.clone().map(|decider| ForwardAuth {
            decider,
            leaves: self.leaves,
        })
    }

    /// What counts streams by a field, around a service that is asked once it is known who asks.
    pub(crate) fn by_field<S>(&self, service: S) -> Result<ByField<S>, S> {
        match self.limits.field.is_some() {
            true => Ok(ByField {
                limits: self.limits.clone(),
                leaves: self.leaves,
                service,
            }),
            false => Err(service),
        }
    }

    /// Lets a request through, in the form that all behind this sees.
    ///
    /// # Errors
    ///
    /// When it is to go no further.
    fn admit(&self, parts: &mut request::Parts) -> Result<(), Refusal> {
        if let Some(origins) = &self.origins {
            origin::check(parts, origins)?;
            // Whom the answer allows is said here, to each client: so it need not keep apart those that share a stream.
            if parts.method == Method::GET && accepts_event_stream(&parts.headers) {
                parts.headers.remove(ORIGIN);
            }
        }
        let is_of_cookie = self.token.settle(parts)?;
        // Who is let in by a field need not fear other pages, so applications do not look at it then.
        let does_more = !parts.method.is_safe() || parts.headers.contains_key(UPGRADE);
        if is_of_cookie && does_more && !matches!(self.origins, Some(Origins::These(_))) {
            origin::check_own(parts)?;
        }
        match &self.jwt {
            Some(jwt) if !jwt.is_fetched() => jwt.admit(parts),
            _ => Ok(()),
        }
    }
}
