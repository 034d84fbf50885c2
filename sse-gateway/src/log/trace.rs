//! Which trace a request is a part of, as it says itself (Trace Context, section 3.2).

use http::HeaderMap;

/// The id of the trace, from `traceparent`. None where there is none, or it is not as it has to be.
pub(crate) fn id(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all("traceparent").iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let mut parts = line.to_str().ok()?.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may have more behind these.
    let is_over = parts.next().is_none();
    let is_right = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || is_over)
        && is_hex(trace, 32)
        && trace.bytes().any(|digit| digit != b'0')
        && is_hex(parent, 16)
        && parent.bytes().any(|digit| digit != b'0')
        && is_hex(flags, 2);
    is_right.then_some(trace)
}

fn is_hex(text: &str, len: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == len && text.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_named_as_the_standard_has_it() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (line, is_right) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), true),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-more"), true),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-more"), false),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), false),
            (format!("00-{TRACE}-0000000000000000-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (
                format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
                false,
            ),
            (format!("00-{TRACE}-00f067aa0ba902b7"), false),
            (format!("00-{}x-00f067aa0ba902b7-01", &TRACE[1..]), false),
            (String::new(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append("traceparent", line.parse().expect("a value"));
            assert_eq!(id(&headers), is_right.then_some(TRACE), "{line}");
            headers.append("traceparent", line.parse().expect("a value"));
            assert_eq!(id(&headers), None);
        }
    }
}
