//! What stands in front of all routes, and finds the one of a request.
//!
//! Behind it a request has one form of target and host (`target`), says nothing of its way that is not believable
//! (`claims`), and carries where it came from
//! ([`ClientAddress`](crate::client::address::ClientAddress)) and how its path may be shown ([`ShownPath`]).

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderName, Method, Request, Response, StatusCode, request};
use metrics::counter;
use tower_service::Service;

use crate::answer::{TEXT, answer};
use crate::body::{StackBody, boxed};
use crate::client::claims;
use crate::config::{GatewaySettings, NoAnswer};
use crate::listener::ClientBody;
use crate::log::limiter;
use crate::log::limiter::Limiter;
use crate::log::shown_path::ShownPath;
use crate::policy::REFUSED;
use crate::proxy::headers;
use crate::proxy::no_answer::{self, Unanswered};
use crate::proxy::target;
use crate::proxy::via;
use crate::stack::plan::Plan;
use crate::stack::requests::Asked;

/// The service of all routes. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Router {
    /// Looked up by each request, so that it can change under connections that stay.
    plan: Arc<RwLock<Arc<Plan>>>,
    warnings: Arc<Limiter>,
    /// Fields that the gateway alone sets. What listeners set does not change while they are there, and neither does this.
    own_fields: Arc<[HeaderName]>,
}

impl Router {
    pub(crate) fn new(plan: Plan, settings: &GatewaySettings) -> Self {
        let fields = settings.tls_client_fields.iter();
        Router {
            plan: Arc::new(RwLock::new(Arc::new(plan))),
            warnings: Limiter::every(Duration::from_secs(60)).into(),
            own_fields: fields.map(|(field, _)| field.clone()).collect(),
        }
    }

    /// Requests go by this plan from now on; those that are under way go on by the one that they found.
    pub(crate) fn replace(&self, plan: Plan) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }

    /// Whether the other end of a connection is believed in what it says of its client.
    pub(crate) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        self.plan().trusted.contain_peer(peer)
    }

    /// Whether a client may open another connection, which is counted.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        let plan = self.plan();
        let is_in_time = plan
            .connections
            .as_ref()
            .is_none_or(|all| all.admit(client));
        if !is_in_time {
            counter!(REFUSED, "limit" => "connections").increment(1);
        }
        is_in_time
    }

    fn plan(&self) -> Arc<Plan> {
        self.plan
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// It would come back for as long as there are descriptors.
    fn in_a_circle(&self, asked: Asked) -> Answer {
        if let Some(suppressed) = self.warnings.pass("circle") {
            let suppressed = limiter::told(suppressed);
            tracing::error!(
                suppressed,
                "a request came back by way of its upstream, which leads to this gateway; correct --upstream"
            );
        }
        let text = "The upstream of this gateway leads back to it.\n";
        plain(asked, StatusCode::LOOP_DETECTED, text)
    }
}

impl Service<Request<ClientBody>> for Router {
    type Response = Response<StackBody>;
    type Error = Unanswered;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unanswered>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ClientBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let plan = self.plan();
        if let Err(refusal) = target::settle(&mut parts) {
            let asked = plan.other_requests.asked(&mut parts);
            return plain(asked, refusal.status, refusal.message);
        }
        if via::is_known(&parts.headers) {
            return self.in_a_circle(plan.other_requests.asked(&mut parts));
        }
        headers::remove_named(&mut parts.headers);
        claims::judge(&mut parts, &plan.trusted, &self.own_fields);
        let path = parts.uri.path();
        // A browser asks for a method before it uses it.
        let method = asked_for(&parts).unwrap_or_else(|| parts.method.clone());
        let mut routes = plan.routes.iter();
        let place = routes.position(|(route, ..)| route.matches(&method, path));
        if let Some(why) = plan.spellings.doubt(&method, path, place) {
            let asked = plan.other_requests.asked(&mut parts);
            return plain(asked, StatusCode::BAD_REQUEST, why);
        }
        let Some(place) = place else {
            let text = "No route takes this method and path.\n";
            let asked = plan.other_requests.asked(&mut parts);
            return plain(asked, StatusCode::NOT_FOUND, text);
        };
        let until = plan.routes[..=place].iter();
        let shown = ShownPath::of(path, until.map(|(route, ..)| &route.matcher));
        parts.extensions.insert(shown);
        let (route, stack, requests) = &plan.routes[place];
        let asked = requests.asked(&mut parts);
        let may_be_left =
            route.settings.no_answer != NoAnswer::Answer && no_answer::is_retried(&parts);
        // All of a stack is ready at any time.
        let response = stack.clone().call(Request::from_parts(parts, body));
        Box::pin(async move {
            let Ok(response) = response.await;
            asked.answered(match may_be_left {
                true => no_answer::leave(response),
                false => Ok(response),
            })
        })
    }
}

/// The method that a page wants to use, of a preflight request (Fetch, section 3.3.2).
fn asked_for(parts: &request::Parts) -> Option<Method> {
    let is_preflight = parts.method == Method::OPTIONS && parts.headers.contains_key(ORIGIN);
    let method = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
    let method = method.filter(|_| is_preflight)?;
    Method::from_bytes(method.as_bytes()).ok()
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<StackBody>, Unanswered>> + Send>>;

fn plain(asked: Asked, status: StatusCode, text: &'static str) -> Answer {
    let answered = asked.answered(Ok(answer(status, TEXT, text).map(boxed)));
    Box::pin(async { answered })
}
