//! What a user of the store may do, as operators are told: whoever has that, and no more, carries out all that is tested.

const DOCUMENT: &str = include_str!("../../docs/multinode.md");

/// The rules of the documented user, as the server takes them.
pub(crate) fn rights() -> Vec<&'static str> {
    let (_, rules) = DOCUMENT.split_once("\nuser gateway ").unwrap();
    let (rules, _) = rules.split_once("```").unwrap();
    rules.split_whitespace().collect()
}
