//! "Did you mean …?" for misspelt names.

/// The candidate that `word` was most likely meant to be. Case, and `-` for `_`, are no difference.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Longer words are never near; this bounds the work for whatever a file holds.
    if word.len() > 40 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::levenshtein(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let names = ["heartbeat", "heartbeat_frame", "ids", "retry_jitter"];
        for (word, expected) in [
            ("heartbeet", Some("heartbeat")),
            ("heart-beat-frame", Some("heartbeat_frame")),
            ("Retry-Jitter", Some("retry_jitter")),
            ("id", Some("ids")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), expected);
        }
    }
}
