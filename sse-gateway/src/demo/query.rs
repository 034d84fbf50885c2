//! The query of a request.

/// The first value of a parameter, with its percent signs and pluses decoded.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let value = query?
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_decoded() {
        let get = |query| parameter(Some(query), "name");
        assert_eq!(get("x=1&name=%E6%9D%8E+7&name=2").as_deref(), Some("李 7"));
        assert_eq!(get("name=").as_deref(), Some(""));
        for none in ["", "names=1", "name", "name=%f", "name=%ff"] {
            assert_eq!(get(none), None, "{none}");
        }
        assert_eq!(parameter(None, "name"), None);
    }
}
