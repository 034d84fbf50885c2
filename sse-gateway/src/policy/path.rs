//! The one spelling of a path that all spellings have in common.

use std::borrow::Cow;

/// A path as a server may read it that decodes it and then goes along its segments: percent-encoding undone, `\` as `/`, no empty
/// segments, no `.` and `..`, no parameters behind `;`.
pub(crate) fn normal(path: &str) -> Cow<'_, str> {
    let is_normal = !path.contains(['%', '\\', ';'])
        && !path.contains("//")
        && !path.split('/').any(|segment| matches!(segment, "." | ".."));
    if is_normal {
        return path.into();
    }
    let decoded = decoded(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split(['/', '\\']) {
        // Servers after the manner of servlets leave these out.
        let segment = segment.split(';').next().unwrap_or(segment);
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let end = match path.ends_with('/') && !segments.is_empty() {
        true => "/",
        false => "",
    };
    format!("/{}{end}", segments.join("/")).into()
}

/// Some servers do so twice.
fn decoded(path: &str) -> String {
    once(&once(path))
}

fn once(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(encoded) if *byte == b'%' => {
                bytes.push(encoded);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_come_to_one() {
        for path in [
            "/v1/chat",
            "//v1/chat",
            "/v1//chat",
            "/v1/./chat",
            "/x/../v1/chat",
            "/v1/%63hat",
            "/v1/%2563hat",
            "/%76%31/chat",
            "/v1%2Fchat",
            "/v1\\chat",
            "/v1/x/%2e%2e/chat",
            "/v1/x/.%2e/chat",
            "/../v1/chat",
            "/v1/%5cchat",
            "/v1;x=1/chat;y",
            "/v1/x/..;/chat",
        ] {
            assert_eq!(normal(path), "/v1/chat", "{path}");
        }
        for path in ["/", "/v1/chat/", "/a.b/..c", "/ä"] {
            assert_eq!(normal(path), path);
        }
        assert_eq!(normal("/%"), "/%");
        assert_eq!(normal("/%zz/%4"), "/%zz/%4");
        assert_eq!(normal("/.."), "/");
    }
}
