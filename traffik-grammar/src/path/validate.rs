//! Which patterns are refused, and what to write instead.

use std::fmt;

use super::{Bytes, PathError, PathErrorKind};
use crate::error::Quoted;

pub(super) fn validate(pattern: &str) -> Result<(), PathError> {
    if !pattern.starts_with('/') {
        let rooted = format!("/{pattern}");
        let end = if pattern.is_empty() { " to match every path" } else { "" };
        return Place { pattern, offset: 0 }.refuse(
            PathErrorKind::Start,
            format_args!("the path pattern does not start with \"/\""),
            format_args!("write {}{end}", Quoted(&rooted)),
        );
    }
    validate_characters(pattern)?;
    validate_segments(pattern)
}

fn validate_characters(pattern: &str) -> Result<(), PathError> {
    for (offset, c) in pattern.char_indices() {
        let here = Place { pattern, offset };
        let rest = &pattern[offset + c.len_utf8()..];
        let escaped = Escaped(c);
        let unexpected = |fix: fmt::Arguments<'_>| {
            here.refuse(PathErrorKind::Character, format_args!("unexpected {c:?} in a path pattern"), fix)
        };
        match c {
            '/' if rest.starts_with('/') => here.refuse(
                PathErrorKind::EmptySegment,
                format_args!("empty segment"),
                format_args!("write one \"/\""),
            ),
            '%' if !Bytes::of(rest).escape_digits() => here.refuse(
                PathErrorKind::Escape,
                format_args!("\"%\" without two hexadecimal digits"),
                format_args!("write %25 for a literal \"%\""),
            ),
            '?' | '#' => unexpected(format_args!(
                "patterns match only the path, so end it there, or write {escaped} for a literal {c:?}"
            )),
            '{' | '}' => {
                unexpected(format_args!("write \"*\" for one segment, or {escaped} for a literal {c:?}"))
            }
            '!'..='~' => Ok(()),
            _ => unexpected(format_args!("write it as {escaped}")),
        }?;
    }
    Ok(())
}

fn validate_segments(pattern: &str) -> Result<(), PathError> {
    let mut offset = 0;
    for segment in pattern.split('/') {
        let here = Place { pattern, offset };
        if segment.starts_with(':') {
            return here.refuse(
                PathErrorKind::Character,
                format_args!("unsupported path parameter {}", Quoted(segment)),
                format_args!("write \"*\" for one segment, or {} for a literal {:?}", Escaped(':'), ':'),
            );
        }
        if segment.contains('*') && segment != "*" && segment != "**" {
            return here.refuse(
                PathErrorKind::Wildcard,
                format_args!("wildcard inside the segment {}", Quoted(segment)),
                format_args!(
                    "a wildcard must be a whole segment: write \"*\" or \"**\" on its own, or %2A for a literal \"*\""
                ),
            );
        }
        offset += segment.len() + 1;
    }
    Ok(())
}

/// A place in a pattern.
struct Place<'a> {
    pattern: &'a str,
    offset: usize,
}

impl Place<'_> {
    fn refuse(
        &self,
        kind: PathErrorKind,
        fault: fmt::Arguments<'_>,
        fix: fmt::Arguments<'_>,
    ) -> Result<(), PathError> {
        let Self { pattern, offset } = *self;
        // Quoted from the mistake on, so that the excerpt of a long pattern still shows it.
        let near = Quoted(&pattern[offset..]);
        let message = format!("{fault} at byte {offset}, near {near}; {fix}").into();
        Err(PathError { kind, offset, message })
    }
}

/// Displays a character as the percent-escapes of its bytes.
struct Escaped(char);

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; 4];
        self.0.encode_utf8(&mut buffer).bytes().try_for_each(|byte| write!(f, "%{byte:02X}"))
    }
}
