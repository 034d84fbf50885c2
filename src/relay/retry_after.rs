//! What `Retry-After` says: seconds, or a date.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

/// How long the upstream asks to be left alone.
///
/// From a date the response's own `Date` is taken off where there is one: the upstream's clock need not agree with ours.
pub(super) fn of(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = text(headers, &header::RETRY_AFTER)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = date(headers).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or_default())
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, &header::DATE)?).ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    const NOW: u64 = 784_111_777;

    fn read(fields: &[(HeaderName, &str)]) -> Option<u64> {
        let fields = fields.iter().map(|(name, value)| {
            let value = value.parse().expect("a value");
            (name.clone(), value)
        });
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        Some(of(&fields.collect(), now)?.as_secs())
    }

    #[test]
    fn seconds_are_read() {
        for (text, seconds) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("99999999999999999999", Some(u64::MAX)),
            ("+1", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(read(&[(header::RETRY_AFTER, text)]), seconds, "{text:?}");
        }
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_date_is_read_in_all_three_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:51:37 GMT",
            "Sunday, 06-Nov-94 08:51:37 GMT",
            "Sun Nov  6 08:51:37 1994",
        ] {
            assert_eq!(read(&[(header::RETRY_AFTER, text)]), Some(120), "{text:?}");
        }
    }

    #[test]
    fn a_date_that_has_passed_is_no_wait() {
        let text = "Sun, 06 Nov 1994 08:49:36 GMT";
        assert_eq!(read(&[(header::RETRY_AFTER, text)]), Some(0));
    }

    #[test]
    fn a_date_is_one_of_the_upstreams_clock() {
        let a_year_later = "Mon, 06 Nov 1995 08:49:37 GMT";
        let and_a_minute = "Mon, 06 Nov 1995 08:50:37 GMT";
        assert_eq!(
            read(&[
                (header::DATE, a_year_later),
                (header::RETRY_AFTER, and_a_minute)
            ]),
            Some(60)
        );
        let broken = [(header::DATE, "now"), (header::RETRY_AFTER, and_a_minute)];
        assert_eq!(read(&broken), Some(365 * 86_400 + 60));
    }
}
