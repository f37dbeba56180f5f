//! Path patterns: which request paths a rule applies to.
//!
//! | pattern | matches | does not match |
//! |---|---|---|
//! | `/api/users` | `/api/users`, `/api/users/`, `/api/users/1` | `/api/users2`, `/api` |
//! | `/` | everything | |
//! | `/users/*/posts` | `/users/42/posts` | `/users/posts`, `/users/42/posts/1` |
//! | `/api/**` | `/api`, `/api/v1`, `/api/v1/users` | `/apis` |
//! | `/**/export` | `/export`, `/v1/reports/export` | `/export/csv` |
//!
//! `*` matches exactly one segment, `**` any number of segments, including none. Wildcards always replace
//! whole segments: `/files/*.json` is an error, and its meaning is not guessed. A pattern without a
//! wildcard matches that path and everything below it; a pattern with a wildcard must match the whole path.
//!
//! # What counts as the same path
//!
//! A client must not be able to get around a rule by spelling the path differently. Therefore:
//!
//! - A path is first split into segments at `/`, and then each segment is compared with its percent-escapes
//!   decoded: `/%61pi` is `/api`. An escaped slash (`%2F`) is thus data inside a segment, never a boundary.
//!   Escapes are decoded once; malformed ones are taken literally.
//! - A trailing slash is ignored. Letter case matters.
//! - A run of slashes can be read in two ways. Some services treat it as a single slash. In axum, a parameter
//!   may be empty, so that `/users/{id}/posts` serves `/users//posts`. A pattern can't know which kind of
//!   service it protects, so there are two methods: [`PathPattern::may_match`] tells whether any reading
//!   matches, for rules that count requests, and [`PathPattern::must_match`] tells whether all readings match,
//!   for rules that exempt requests. The latter also rejects a segment with escapes unless the pattern's own
//!   segment has some, since a router may take escapes literally.
//!
//! `.` and `..` are ordinary segments. axum doesn't resolve them, and neither does this module:
//! `/api/../admin` is below `/api`. A service that resolves them itself should do so before the throttle sees
//! the request.

#[cfg(test)]
mod tests;
mod validate;

use std::fmt;
use std::str::FromStr;

use crate::error::message_error;

/// The kind of mistake in a path pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathErrorKind {
    /// The pattern is empty or does not start with `/`.
    Start,
    /// There are two slashes in a row, which makes an empty segment.
    EmptySegment,
    /// A `*` shares its segment with other characters, or a segment has more than two.
    Wildcard,
    /// A character is not allowed in a pattern unless it is percent-encoded.
    Character,
    /// A `%` is not followed by two hexadecimal digits.
    Escape,
}

/// The error for a malformed path pattern. Its message names the position, the culprit and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError {
    kind: PathErrorKind,
    offset: usize,
    message: Box<str>,
}

message_error!(PathError);

impl PathError {
    /// Returns the kind of mistake.
    pub fn kind(&self) -> PathErrorKind {
        self.kind
    }

    /// Returns the byte offset in the pattern at which the mistake begins.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

/// One piece of a compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Piece {
    /// A segment of exactly these bytes, with percent-escapes decoded.
    Literal {
        bytes: Box<[u8]>,
        /// Whether any of them was written as an escape.
        escaped: bool,
    },
    /// `*`: any one segment.
    One,
    /// `**`: any number of segments.
    Any,
}

/// A compiled path pattern. Matching neither allocates nor backtracks exponentially.
///
/// The [module documentation](self) describes the syntax. Two patterns are equal if they are written
/// the same.
///
/// ```
/// use traffik_grammar::PathPattern;
///
/// let below: PathPattern = "/api/users".parse()?;
/// assert!(below.may_match("/api/users"));
/// assert!(below.may_match("/api/users/1"));
/// assert!(below.may_match("/%61pi/users/"));
/// assert!(!below.may_match("/api/users2"));
///
/// let one = PathPattern::parse("/users/*/posts")?;
/// assert!(one.may_match("/users/42/posts"));
/// assert!(!one.may_match("/users/42/posts/7"));
/// assert!(one.may_match("/users//posts") && !one.must_match("/users//posts"));
/// # Ok::<(), traffik_grammar::PathError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: Box<str>,
    pieces: Box<[Piece]>,
}

impl PathPattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// Returns a [`PathError`] if the pattern does not start with `/`, has an empty segment, mixes `*` with other
    /// characters in one segment, begins a segment with `:`, or contains `?`, `#`, `{`, `}`, a blank, a control
    /// or a non-ASCII character, or a `%` without two hexadecimal digits. Any byte may be written as an escape.
    pub fn parse(pattern: &str) -> Result<Self, PathError> {
        validate::validate(pattern)?;
        let mut pieces: Vec<Piece> = Vec::new();
        for segment in segments(pattern) {
            match segment {
                "*" => pieces.push(Piece::One),
                // Consecutive `**` mean the same as a single one.
                "**" if pieces.last() == Some(&Piece::Any) => {}
                "**" => pieces.push(Piece::Any),
                literal => pieces.push(Piece::Literal {
                    bytes: Bytes::of(literal).collect(),
                    escaped: literal.contains('%'),
                }),
            }
        }
        if !pattern.contains('*') {
            pieces.push(Piece::Any);
        }
        Ok(Self { text: pattern.into(), pieces: pieces.into() })
    }

    /// Returns whether any reading of a request path matches.
    ///
    /// `path` is the bare path as received: without the query, and with escapes intact. A target that is not a
    /// path, such as the `*` of `OPTIONS *`, matches only patterns that match everything.
    ///
    /// Takes time proportional to the length of the path times the number of segments in the pattern, at most.
    #[must_use]
    pub fn may_match(&self, path: &str) -> bool {
        let matches = |reading, path| self.matches(path, reading, same);
        matches(Runs::One, path)
            || (path.contains("//")
                && (matches(Runs::Kept, without_slash(path)) || matches(Runs::Kept, without_outer(path))))
    }

    /// Returns whether every reading of a request path matches.
    ///
    /// The argument and the running time are the same as for [`may_match`](Self::may_match).
    #[must_use]
    pub fn must_match(&self, path: &str) -> bool {
        let matches = |reading, path| self.matches(path, reading, same_as_written);
        matches(Runs::One, path)
            && (!path.contains("//")
                || (matches(Runs::Kept, without_slash(path)) && matches(Runs::Kept, without_outer(path))))
    }

    fn matches(&self, path: &str, runs: Runs, same: impl Fn(&[u8], bool, &str) -> bool) -> bool {
        let pieces = &self.pieces;
        if !path.is_empty() && !path.starts_with('/') {
            return pieces[..] == [Piece::Any];
        }
        let first_segment = |path| runs.first_segment(path);
        // Each `**` begins with its shortest match, and on a mismatch only the latest is widened: anything that an
        // earlier one could take beyond its shortest match, the latest can take instead.
        let mut at = 0;
        let mut rest = path;
        let mut fallback: Option<(usize, &str)> = None;
        while let Some((segment, after)) = first_segment(rest) {
            match pieces.get(at) {
                Some(Piece::Any) => {
                    at += 1;
                    if at == pieces.len() {
                        return true;
                    }
                    fallback = Some((at, rest));
                    continue;
                }
                Some(Piece::One) => {
                    at += 1;
                    rest = after;
                    continue;
                }
                Some(Piece::Literal { bytes, escaped }) if same(bytes, *escaped, segment) => {
                    at += 1;
                    rest = after;
                    continue;
                }
                Some(Piece::Literal { .. }) | None => {}
            }
            let Some((piece, from)) = fallback else {
                return false;
            };
            let Some((_, widened)) = first_segment(from) else {
                return false;
            };
            at = piece;
            rest = widened;
            fallback = Some((piece, widened));
        }
        pieces[at..].iter().all(|piece| *piece == Piece::Any)
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PathPattern {
    type Err = PathError;

    fn from_str(pattern: &str) -> Result<Self, PathError> {
        Self::parse(pattern)
    }
}

/// How to read a run of slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// As a single slash.
    One,
    /// As separate slashes, with empty segments between them.
    Kept,
}

impl Runs {
    /// Splits a path into its first segment and the rest.
    fn first_segment(self, path: &str) -> Option<(&str, &str)> {
        let path = match self {
            Self::One => Some(path.trim_start_matches('/')).filter(|path| !path.is_empty()),
            Self::Kept => path.strip_prefix('/'),
        }?;
        Some(path.split_at(path.find('/').unwrap_or(path.len())))
    }
}

/// Removes one trailing slash.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Reduces a path to one leading slash and no trailing ones, like services that trim their paths.
fn without_outer(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let runs = path.len() - path.trim_start_matches('/').len();
    &path[runs.saturating_sub(1)..]
}

/// Returns the non-empty segments of a path.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn same(literal: &[u8], _: bool, segment: &str) -> bool {
    // Decoding only shortens, so a segment with fewer bytes can't be equal.
    segment.len() >= literal.len() && Bytes::of(segment).eq(literal.iter().copied())
}

/// Compares like [`same`], but rejects a segment with escapes unless the literal was written with some.
fn same_as_written(literal: &[u8], escaped: bool, segment: &str) -> bool {
    same(literal, escaped, segment) && (escaped || !segment.contains('%'))
}

/// Iterates over the bytes of a segment, with percent-escapes decoded once.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn of(segment: &'a str) -> Self {
        Self(segment.as_bytes())
    }

    fn escape_digits(&self) -> bool {
        matches!(self.0, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
    }
}

impl Iterator for Bytes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        if first == b'%'
            && let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.0 = after;
            return Some(high << 4 | low);
        }
        Some(first)
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
