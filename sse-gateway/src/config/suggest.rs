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
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let names = [
            "heartbeat",
            "heartbeat_frame",
            "ids",
            "retry",
            "retry_jitter",
        ];
        let near = |word| nearest(word, names);
        assert_eq!(near("heartbeet"), Some("heartbeat"));
        assert_eq!(near("heart-beat-frame"), Some("heartbeat_frame"));
        assert_eq!(near("Retry-Jitter"), Some("retry_jitter"));
        assert_eq!(near("id"), Some("ids"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(""), None);
    }
}
