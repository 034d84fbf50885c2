//! The settings of what clients get when there is no answer from upstream.

use http::StatusCode;

use super::setting::{Bare, Scope, Setting};
use super::{NoAnswer, value};

pub(crate) static NO_ANSWER: Setting<NoAnswer> = Setting {
    key: "no_answer",
    flag: "--no-answer",
    heading: "No answer from upstream",
    form: "close|answer|hold",
    default: Some("close"),
    about: "What a GET for an event stream gets then: none, so that it is retried; 502; a stream.",
    scope: Scope::Route,
    bare: Bare::Nothing,
    parse: value::no_answer,
};

pub(crate) static RETRY_STATUSES: Setting<Vec<StatusCode>> = Setting {
    key: "retry_statuses",
    flag: "--retry-statuses",
    heading: "No answer from upstream",
    form: "STATUS,…|off",
    default: Some("off"),
    about: "Statuses of the upstream that count as no answer, such as 502,503,504.",
    scope: Scope::Route,
    bare: Bare::Lists,
    parse: value::statuses_or_off,
};
