//! The query of a request.

/// The first value of a parameter.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    let (_, value) = pairs.find(|(key, _)| key == name)?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_decoded() {
        let get = |query| parameter(Some(query), "name");
        assert_eq!(get("x=1&name=%E6%9D%8E+7&name=2").as_deref(), Some("李 7"));
        assert_eq!(get("name=").as_deref(), Some(""));
        for none in ["", "names=1"] {
            assert_eq!(get(none), None, "{none}");
        }
        assert_eq!(parameter(None, "name"), None);
    }
}
