//! The text of an upstream.

use http::uri::Authority;

/// Checks that `url` is `http://host[:port]`, `https://…`, `h2c://…` or `unix:/path`, and nothing more.
///
/// # Errors
///
/// Says what is wrong and what would be right. A password is never repeated.
pub(crate) fn validate(url: &str) -> Result<(), String> {
    if let Some(path) = url.strip_prefix("unix:") {
        return match path.starts_with('/') && !path.contains('\0') {
            true => Ok(()),
            false => Err(format!(
                "{url:?} has no absolute path; use one such as unix:/run/app.sock"
            )),
        };
    }
    let schemes = ["http://", "https://", "h2c://"];
    let Some(rest) = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)) else {
        return Err(match url.contains('@') {
            true => format!("the URL has no known scheme; {RIGHT}"),
            false => format!("{url:?} has no known scheme; {RIGHT}"),
        });
    };
    if rest.contains('@') {
        return Err(format!("the URL holds a user or password; {RIGHT}"));
    }
    if let Some(at) = rest.find(['/', '?', '#']) {
        let base = &url[..url.len() - rest.len() + at];
        return Err(format!(
            "{url:?} has more than a host and port; use {base:?}, paths come from the requests"
        ));
    }
    let wrong = || format!("{url:?} has no valid host and port; {RIGHT}");
    let authority: Authority = rest.parse().map_err(|_| wrong())?;
    let port = authority
        .as_str()
        .strip_prefix(authority.host())
        .unwrap_or_default();
    let port_is_right = port.is_empty() || authority.port_u16().is_some_and(|port| port != 0);
    match !authority.host().is_empty() && port_is_right {
        true => Ok(()),
        false => Err(wrong()),
    }
}

const RIGHT: &str =
    "use one such as http://127.0.0.1:5000, https://host, h2c://host:8000 or unix:/run/app.sock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_of_every_kind_are_accepted() {
        for url in [
            "http://127.0.0.1:5000",
            "http://localhost",
            "https://api.example.com",
            "https://[::1]:8443",
            "h2c://app:8000",
            "unix:/run/app.sock",
        ] {
            assert_eq!(validate(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        for url in [
            "",
            "127.0.0.1:5000",
            "localhost",
            "ftp://host",
            "http://",
            "http://:80",
            "http://host:",
            "http://host:0",
            "http://host:65536",
            "http://host:port",
            "http://ho st",
            "http://host/",
            "http://host/path",
            "http://host?query",
            "http://host#fragment",
            "http://user@host",
            "unix:",
            "unix:app.sock",
            "unix://host/app.sock\0",
        ] {
            assert!(validate(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn a_password_is_not_repeated() {
        for url in [
            "http://me:secret@host",
            "postgres://me:secret@host",
            "me:secret@host",
        ] {
            assert!(
                !validate(url)
                    .expect_err("has a password")
                    .contains("secret")
            );
        }
    }
}
