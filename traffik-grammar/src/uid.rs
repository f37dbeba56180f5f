//! Throttle ids: the names under which throttles count, appear in logs and are looked up.
//!
//! An id is 1 to [`MAX_LEN`] bytes of ASCII letters, digits and `: . _ - / @`, and begins and ends
//! with a letter or a digit. The alphabet is deliberately small: an id appears in HTTP header fields, store
//! keys and metric labels, and needs no escaping in any of them.

use crate::error::{Quoted, message_error};

/// The maximum length of an id in bytes.
pub const MAX_LEN: usize = 64;

/// The kind of mistake in an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UidErrorKind {
    /// The id is empty.
    Empty,
    /// The id has more than [`MAX_LEN`] bytes.
    TooLong,
    /// A character is outside the alphabet.
    Character,
    /// The id begins or ends with something other than a letter or a digit.
    Edge,
}

/// The error for a malformed throttle id. Its message names the culprit, its position and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UidError {
    kind: UidErrorKind,
    message: Box<str>,
    suggestion: Option<Box<str>>,
}

message_error!(UidError);

impl UidError {
    /// Returns the kind of mistake.
    pub fn kind(&self) -> UidErrorKind {
        self.kind
    }

    /// Returns a valid id derived from the given one, if it contains anything usable.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

/// Checks that `uid` is a well-formed throttle id.
///
/// # Errors
///
/// Returns a [`UidError`] if the id is empty, is longer than [`MAX_LEN`] bytes, contains a character other than
/// ASCII letters, digits and `: . _ - / @`, or does not begin and end with a letter or a digit.
///
/// ```
/// use traffik_grammar::uid;
///
/// assert!(uid::check("api:burst").is_ok());
/// assert_eq!(
///     uid::check("api burst").unwrap_err().to_string(),
///     r#"the throttle id "api burst" contains ' ' at byte 3; use only ASCII letters, digits and : . _ - / @, for example "api-burst""#,
/// );
/// ```
pub fn check(uid: &str) -> Result<(), UidError> {
    if uid.is_empty() {
        return Err(refuse(UidErrorKind::Empty, uid, "the throttle id is empty; name what it protects"));
    }
    if let Some((at, bad)) = uid.char_indices().find(|&(_, c)| !allowed(c)) {
        let fault = format!(
            "the throttle id {} contains {bad:?} at byte {at}; use only ASCII letters, digits and : . _ - / @",
            Quoted(uid)
        );
        return Err(refuse(UidErrorKind::Character, uid, &fault));
    }
    // From here on every character is ASCII, so bytes and characters are the same.
    if uid.len() > MAX_LEN {
        let fault = format!(
            "the throttle id {} is {} bytes long, but at most {MAX_LEN} are allowed; use a shorter one",
            Quoted(uid),
            uid.len()
        );
        return Err(refuse(UidErrorKind::TooLong, uid, &fault));
    }
    for (at, byte) in [(0, uid.as_bytes()[0]), (uid.len() - 1, uid.as_bytes()[uid.len() - 1])] {
        if !byte.is_ascii_alphanumeric() {
            let edge = if at == 0 { "begins" } else { "ends" };
            let fault = format!(
                "the throttle id {} {edge} with {:?} (byte {at}); begin and end it with a letter or a digit",
                Quoted(uid),
                char::from(byte)
            );
            return Err(refuse(UidErrorKind::Edge, uid, &fault));
        }
    }
    Ok(())
}

fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '_' | '-' | '/' | '@')
}

fn refuse(kind: UidErrorKind, uid: &str, fault: &str) -> UidError {
    let suggestion = clean(uid);
    let example = suggestion.as_deref().unwrap_or("api:burst");
    UidError {
        kind,
        message: format!("{fault}, for example \"{example}\"").into(),
        suggestion: suggestion.map(Into::into),
    }
}

/// Returns the valid id closest to `uid`: each run of invalid characters becomes one `-`, and the ends are trimmed.
fn clean(uid: &str) -> Option<String> {
    let mut cleaned = String::with_capacity(MAX_LEN);
    for c in uid.chars() {
        if cleaned.len() == MAX_LEN {
            break;
        }
        if cleaned.is_empty() && !c.is_ascii_alphanumeric() {
            continue;
        }
        if allowed(c) {
            cleaned.push(c);
        } else if !cleaned.ends_with('-') {
            cleaned.push('-');
        }
    }
    cleaned.truncate(cleaned.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len());
    (!cleaned.is_empty()).then_some(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_ids_pass() {
        let longest = "a".repeat(MAX_LEN);
        for uid in ["a", "7", "api:burst", "A.b_c-d/e@f", "tenant@9", "a::b", longest.as_str()] {
            assert_eq!(check(uid), Ok(()), "{uid}");
        }
    }

    #[test]
    fn malformed_ids_are_refused_with_the_mend() {
        let cases = [
            ("", UidErrorKind::Empty, None),
            (" ", UidErrorKind::Character, None),
            ("api burst", UidErrorKind::Character, Some("api-burst")),
            ("a\u{e9}b", UidErrorKind::Character, Some("a-b")),
            ("a\0", UidErrorKind::Character, Some("a")),
            ("a{b}", UidErrorKind::Character, Some("a-b")),
            ("a#?b", UidErrorKind::Character, Some("a-b")),
            (":api", UidErrorKind::Edge, Some("api")),
            ("api/", UidErrorKind::Edge, Some("api")),
            ("-", UidErrorKind::Edge, None),
            ("\u{2603}", UidErrorKind::Character, None),
        ];
        for (uid, kind, suggestion) in cases {
            let error = check(uid).unwrap_err();
            assert_eq!(error.kind(), kind, "{uid:?}");
            assert_eq!(error.suggestion(), suggestion, "{uid:?}");
        }
    }

    #[test]
    fn messages_name_character_place_and_mend() {
        assert_eq!(
            check("").unwrap_err().to_string(),
            r#"the throttle id is empty; name what it protects, for example "api:burst""#
        );
        assert_eq!(
            check("api:").unwrap_err().to_string(),
            r#"the throttle id "api:" ends with ':' (byte 3); begin and end it with a letter or a digit, for example "api""#
        );
        let long = check(&"ab-".repeat(30)).unwrap_err();
        assert_eq!(long.kind(), UidErrorKind::TooLong);
        assert!(long.to_string().contains("is 90 bytes long, but at most 64 are allowed"), "{long}");
        assert_eq!(long.suggestion().map(check), Some(Ok(())));
    }
}
