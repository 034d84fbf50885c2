//! What can go wrong before an upstream's response head, as clients, metrics and logs see it.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::proxy::upstream::tcp::Unresolved;
use crate::proxy::upstream::tls;

/// Why there is no response, with what the log should say about it. The client is told the kind alone.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    detail: Arc<str>,
    /// The upstream says that it has not begun to work on the request.
    unprocessed: bool,
    /// There was no connection, or one that was new and ended: others will not fare better for a while.
    is_away: bool,
}

/// The kinds of [`Failure`]. A response made from a failure carries its kind as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Nobody listens at the upstream's address.
    Refused,
    /// The upstream's name has no address.
    Unresolved,
    /// No connection in time.
    ConnectTimeout,
    /// The connection ended before a response head.
    Reset,
    /// No response head in time.
    HeadTimeout,
    /// TLS failed, or the certificate is not trusted.
    Tls,
    /// It is the client who did not send the body, or sent a broken one.
    Client,
    /// There was an answer, with a status that counts as none.
    Status,
    /// The head of the response is larger than we read.
    LargeHead,
    /// Anything else, such as a response that is not HTTP.
    Other,
}

impl FailureKind {
    /// The value of a metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unresolved => "unresolved",
            Self::ConnectTimeout => "connect_timeout",
            Self::Reset => "reset",
            Self::HeadTimeout => "head_timeout",
            Self::Tls => "tls",
            Self::Client => "client",
            Self::Status => "status",
            Self::LargeHead => "large_head",
            Self::Other => "error",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::ConnectTimeout | Self::HeadTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Client => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// One sentence for the client. It says what happened, not where.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Refused => "The upstream refused the connection.\n",
            Self::Unresolved => "The name of the upstream could not be resolved.\n",
            Self::ConnectTimeout => "The upstream did not accept the connection in time.\n",
            Self::Reset => "The upstream closed the connection before it sent a response.\n",
            Self::HeadTimeout => "The upstream did not send a response in time.\n",
            Self::Tls => "No secure connection to the upstream could be made.\n",
            Self::Client => "The body of the request did not arrive.\n",
            Self::Status => "The upstream's answer counts as none.\n",
            Self::LargeHead => {
                "The head of the upstream's response has more than 320 lines or 64 KiB.\n"
            }
            Self::Other => "The upstream could not be reached, or did not answer in HTTP.\n",
        }
    }
}

impl Failure {
    pub(crate) fn kind(&self) -> FailureKind {
        self.kind
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.kind == FailureKind::Reset
    }

    pub(crate) fn is_unprocessed(&self) -> bool {
        self.unprocessed
    }

    pub(crate) fn is_away(&self) -> bool {
        self.is_away
    }

    /// The same of a connection that was made for this request.
    pub(crate) fn on_new_connection(self) -> Self {
        let is_away = self.is_reset();
        Self { is_away, ..self }
    }

    /// An answer with a status that counts as none.
    pub(crate) fn status(status: StatusCode) -> Self {
        let failure = Self::new(FailureKind::Status, &format!("the answer is {status}"));
        failure.away()
    }

    fn away(self) -> Self {
        let is_away = true;
        Self { is_away, ..self }
    }

    pub(crate) fn reset(detail: &str) -> Self {
        Self::new(FailureKind::Reset, detail)
    }

    pub(crate) fn large_head() -> Self {
        Self::new(
            FailureKind::LargeHead,
            "the head of the response is too large",
        )
    }

    /// From an error of a connection's socket.
    pub(crate) fn broken(error: &io::Error) -> Self {
        let kind = match is_end_of_connection(error) {
            true => FailureKind::Reset,
            false => FailureKind::Other,
        };
        Self::of(kind, error)
    }

    pub(crate) fn client(detail: &str) -> Self {
        Self::new(FailureKind::Client, detail)
    }

    pub(crate) fn other(detail: impl ToString) -> Self {
        Self::new(FailureKind::Other, &detail.to_string())
    }

    pub(crate) fn connect_timeout(after: Duration) -> Self {
        let detail = format!("no connection within {after:?}");
        Self::new(FailureKind::ConnectTimeout, &detail).away()
    }

    pub(crate) fn head_timeout(after: Duration) -> Self {
        let detail = format!("no response head within {after:?}");
        Self::new(FailureKind::HeadTimeout, &detail)
    }

    /// From an error before there was a connection.
    pub(crate) fn connecting(error: &(dyn Error + 'static)) -> Self {
        let kind = causes(error)
            .find_map(|cause| {
                if cause.is::<Unresolved>() {
                    return Some(FailureKind::Unresolved);
                }
                match cause.downcast_ref::<io::Error>()?.kind() {
                    // A Unix socket that is not there is a server that does not run.
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                        Some(FailureKind::Refused)
                    }
                    io::ErrorKind::TimedOut => Some(FailureKind::ConnectTimeout),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
                        Some(FailureKind::Reset)
                    }
                    _ => None,
                }
            })
            .unwrap_or(FailureKind::Other);
        Self::of(kind, error).away()
    }

    /// From an error on a connection.
    pub(crate) fn sending(error: &hyper::Error) -> Self {
        let http2 = causes(error).find_map(|cause| cause.downcast_ref::<h2::Error>());
        let broken = || {
            http2.is_some_and(|error| error.is_remote() || error.is_io())
                || causes(error)
                    .filter_map(|cause| cause.downcast_ref::<io::Error>())
                    .any(is_end_of_connection)
        };
        let kind = if error.is_user() {
            FailureKind::Client
        } else if error.is_incomplete_message()
            || error.is_closed()
            || error.is_canceled()
            || broken()
        {
            FailureKind::Reset
        } else if error.is_parse_too_large() {
            FailureKind::LargeHead
        } else {
            FailureKind::Other
        };
        let mut failure = Self::of(kind, error);
        failure.unprocessed = http2.is_some_and(|error| {
            error.is_remote()
                && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
        });
        failure
    }

    /// What TLS has found wrong is said in words. In its version 1.3 an upstream may say so once the connection is made.
    fn of(kind: FailureKind, error: &(dyn Error + 'static)) -> Self {
        let tls: Option<&rustls::Error> = causes(error).find_map(|cause| cause.downcast_ref());
        let kind = tls.map_or(kind, |_| FailureKind::Tls);
        match tls.and_then(tls::fault) {
            Some(fault) => Self::new(kind, &format!("{}: {fault}", chain(error))),
            None => Self::new(kind, &chain(error)),
        }
    }

    fn new(kind: FailureKind, detail: &str) -> Self {
        Self {
            kind,
            detail: detail.into(),
            unprocessed: false,
            is_away: false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

fn is_end_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    )
}

/// The error and all that is behind it. An `io::Error` hides what it wraps from `source()`.
fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + 'a {
    std::iter::successors(Some(error), |&error| {
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for cause in causes(error) {
        let next = cause.to_string();
        if next != last {
            let separator = if text.is_empty() { "" } else { ": " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}{next}");
            last = next;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_behind_an_io_error_is_found() {
        let error = io::Error::other(rustls::Error::EncryptError);
        let failure = Failure::connecting(&error);
        assert_eq!(failure.kind(), FailureKind::Tls);
        assert_eq!(failure.kind().status(), StatusCode::BAD_GATEWAY);
    }

    #[test]
    fn a_socket_that_is_not_there_is_refused() {
        let error = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(Failure::connecting(&error).kind(), FailureKind::Refused);
    }
}
