//! What stands for spans in a build that has none.

use http::{Extensions, Request, StatusCode, request};
use tower_sse::stage::{Counts, End};

use super::RouteName;
use crate::config::Error;
use crate::proxy::failure::FailureKind;

#[derive(Clone, Debug)]
pub(crate) enum Tracer {}

impl Tracer {
    /// None: the settings of a build like this cannot ask for one.
    pub(crate) fn start(_: bool) -> Result<Option<Self>, Error> {
        Ok(None)
    }

    pub(crate) fn request(&self, _: &RouteName, _: &mut request::Parts) -> Option<RequestSpan> {
        match *self {}
    }

    pub(crate) fn relay<B>(&self, _: &RouteName, _: &mut Request<B>) -> RelaySpan {
        match *self {}
    }

    pub(crate) async fn finish(self) {
        match self {}
    }
}

#[derive(Clone, Debug)]
pub(crate) enum RequestSpan {}

impl RequestSpan {
    pub(crate) fn of(_: &Extensions) -> Option<Self> {
        None
    }

    pub(crate) fn answered(&self, _: StatusCode, _: &Extensions) {
        match *self {}
    }

    pub(crate) fn unanswered(&self, _: Option<FailureKind>) {
        match *self {}
    }

    pub(crate) fn left(&self) {
        match *self {}
    }

    pub(crate) fn ended(&self, _: u64) {
        match *self {}
    }

    pub(crate) fn opened(&self) {
        match *self {}
    }

    pub(crate) fn is_of_stream(&self) -> bool {
        match *self {}
    }

    pub(crate) fn first_event(&self) {
        match *self {}
    }

    pub(crate) fn closed(&self, _: End, _: &Counts) {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum RelaySpan {}

impl RelaySpan {
    pub(crate) fn answered(self, _: StatusCode, _: Option<FailureKind>) {
        match self {}
    }
}
