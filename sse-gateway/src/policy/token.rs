//! A token that its client cannot send as a field: `EventSource` sends none but cookies.

use http::header::{AUTHORIZATION, COOKIE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri, request};

use crate::answer::Refusal;

/// Where a route's clients may put their token, beside `Authorization`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TokenPlaces {
    pub(super) param: Option<String>,
    pub(super) cookie: Option<String>,
}

impl TokenPlaces {
    /// Takes the token out of the target and the cookies, and makes it `Authorization: Bearer` (RFC 6750 section 2.1) where
    /// there is none. It is taken out in any case: nothing behind this sees it elsewhere. Whether it is that of a cookie, which browsers
    /// send whatever page makes them ask.
    ///
    /// # Errors
    ///
    /// When there are several, or it cannot be one.
    pub(super) fn settle(&self, parts: &mut request::Parts) -> Result<bool, Refusal> {
        let of_query = match &self.param {
            Some(name) => take_from_query(&mut parts.uri, name),
            None => Vec::new(),
        };
        let of_cookies = match &self.cookie {
            Some(name) => take_from_cookies(&mut parts.headers, name),
            None => Vec::new(),
        };
        let is_of_cookie = of_query.is_empty();
        let mut tokens = match is_of_cookie {
            true => of_cookies,
            false => of_query,
        };
        // A cookie may be set for several paths.
        tokens.dedup();
        match &*tokens {
            [] => Ok(false),
            [token] => {
                let value = bearer(token).ok_or(Refusal::bad(
                    "The token has characters that no bearer token has (RFC 6750 section 2.1).\n",
                ))?;
                let is_first = !parts.headers.contains_key(AUTHORIZATION);
                parts.headers.entry(AUTHORIZATION).or_insert(value);
                Ok(is_of_cookie && is_first)
            }
            _ => Err(Refusal::bad("There is more than one token.\n")),
        }
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let value = token.bytes().all(is_one).then(|| format!("Bearer {token}"));
    let mut value = HeaderValue::try_from(value?).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Those of this name that say something.
fn take_from_query(uri: &mut Uri, name: &str) -> Vec<String> {
    let Some(query) = uri.query() else {
        return Vec::new();
    };
    let mut tokens = Vec::new();
    let mut rest = Vec::new();
    let mut is_found = false;
    for pair in query.split('&') {
        match form_urlencoded::parse(pair.as_bytes()).next() {
            Some((found, value)) if found == name => {
                is_found = true;
                if !value.is_empty() {
                    tokens.push(value.into_owned());
                }
            }
            _ => rest.push(pair),
        }
    }
    if is_found {
        let target = match rest.is_empty() {
            true => uri.path().to_owned(),
            false => format!("{}?{}", uri.path(), rest.join("&")),
        };
        // A part of what was a target is one.
        *uri = PathAndQuery::try_from(target).map_or_else(|_| Uri::from_static("/"), Uri::from);
    }
    tokens
}

fn take_from_cookies(headers: &mut HeaderMap, name: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut lines = Vec::new();
    let mut is_found = false;
    for line in headers.get_all(COOKIE) {
        let mut rest = Vec::new();
        for pair in line.as_bytes().split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let is_it = halves
                .next()
                .is_some_and(|found| found.trim_ascii() == name.as_bytes());
            match halves.next() {
                Some(value) if is_it => {
                    is_found = true;
                    let value = String::from_utf8_lossy(value.trim_ascii());
                    let value = value.trim_matches('"');
                    if !value.is_empty() {
                        tokens.push(value.to_owned());
                    }
                }
                _ => rest.push(pair),
            }
        }
        if !rest.is_empty() {
            lines.extend(HeaderValue::from_bytes(&rest.join(&b"; "[..])));
        }
    }
    if is_found {
        headers.remove(COOKIE);
        for line in lines {
            headers.append(COOKIE, line);
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// The target, `Authorization` and the cookies behind it, or why it is refused.
    fn settled(target: &str, fields: &[(&str, &str)]) -> Result<(String, String, String), String> {
        let places = TokenPlaces {
            param: Some("token".to_owned()),
            cookie: Some("session".to_owned()),
        };
        let mut request = Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        let settled = places.settle(&mut parts);
        settled.map_err(|refusal| refusal.message.to_owned())?;
        let all = |name| {
            let lines = parts.headers.get_all(name).iter();
            let lines: Vec<_> = lines.map(|line| line.to_str().expect("text")).collect();
            lines.join("|")
        };
        Ok((parts.uri.to_string(), all(AUTHORIZATION), all(COOKIE)))
    }

    #[test]
    fn a_token_of_the_query_becomes_a_field() {
        for (target, left) in [
            ("/s?token=a.b-c", "/s"),
            ("/s?x=1&token=a.b-c&y=%20", "/s?x=1&y=%20"),
            ("/s?%74oken=a.b-c&&x", "/s?&x"),
            ("/s?token=&token=a.b-c", "/s"),
            ("/s?token=a%2Eb-c&tokens=1", "/s?tokens=1"),
        ] {
            let expected = (left.to_owned(), "Bearer a.b-c".to_owned(), String::new());
            assert_eq!(settled(target, &[]), Ok(expected), "{target}");
        }
        for target in ["/s", "/s?Token=a", "/s?x=token=a", "/s?token", "/s?"] {
            let (_, authorization, _) = settled(target, &[]).expect("it is taken");
            assert_eq!(authorization, "", "{target}");
        }
    }

    #[test]
    fn a_token_of_a_cookie_becomes_a_field() {
        let both = [("cookie", "session=t"), ("cookie", "session=t")];
        let (_, authorization, _) = settled("/s", &both).expect("it is taken");
        assert_eq!(authorization, "Bearer t");
        let (target, authorization, cookies) = settled(
            "/s?x",
            &[
                ("cookie", "a=1; session=\"t\"; b=2"),
                ("cookie", "session="),
            ],
        )
        .expect("it is taken");
        assert_eq!(
            (&*target, &*authorization, &*cookies),
            ("/s?x", "Bearer t", "a=1; b=2")
        );
        let (_, authorization, cookies) =
            settled("/s?token=q", &[("cookie", "session=t")]).expect("it is taken");
        assert_eq!((&*authorization, &*cookies), ("Bearer q", ""));
    }

    #[test]
    fn what_the_client_says_itself_goes_first() {
        let own = [("authorization", "Basic x"), ("cookie", "session=t")];
        let expected = ("/s".to_owned(), "Basic x".to_owned(), String::new());
        assert_eq!(settled("/s?token=q", &own), Ok(expected));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for (target, cookie) in [
            ("/s?token=a+b", ""),
            ("/s?token=a%0d%0ax:1", ""),
            ("/s", "session=a b"),
        ] {
            let error = settled(target, &[("cookie", cookie)]).expect_err("it is refused");
            assert!(error.contains("characters"), "{error}");
        }
        let error = settled("/s?token=a&token=b", &[]).expect_err("it is refused");
        assert_eq!(error, "There is more than one token.\n");
    }
}
