//! The rights of a Redis user, as the guide names them.

const GUIDE: &str = include_str!("../../traffik/src/docs/production.md");

/// Returns the rules of the user that the guide creates.
///
/// # Panics
/// Panics if the guide creates none.
#[must_use]
pub fn rules() -> Vec<&'static str> {
    let rules = GUIDE.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER app "));
    rules.expect("a user in the guide").split_whitespace().collect()
}

/// Returns what the guide adds to them after these words.
///
/// # Panics
/// Panics if the guide does not have the words, with a code span after them.
#[must_use]
pub fn further_rules(words: &str) -> Vec<&'static str> {
    let span = GUIDE.split_once(words).and_then(|(_, rest)| rest.split('`').nth(1));
    span.expect("a code span in the guide").split_whitespace().collect()
}
