//! Shared by the errors of all grammars: quoting, and trait implementations.

use std::fmt;

/// The most characters of a user's text that a message quotes.
const QUOTED_CHARS: usize = 48;

/// Displays text in double quotes, with control characters escaped, and truncated after 48 characters: a message about
/// bad input stays short, however long the input is.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(QUOTED_CHARS) {
            None => write!(f, "{:?}", self.0),
            Some((cut, _)) => write!(f, "{:?}...", &self.0[..cut]),
        }
    }
}

/// Implements `Display` and `Error` for an opaque error that holds its `message`.
macro_rules! message_error {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.message)
            }
        }

        impl std::error::Error for $name {}
    };
}

pub(crate) use message_error;

#[cfg(test)]
mod tests {
    use super::Quoted;

    #[test]
    fn quotes_escape_and_cut_on_character_boundaries() {
        assert_eq!(Quoted("5/min").to_string(), "\"5/min\"");
        assert_eq!(Quoted("a\n\"b").to_string(), r#""a\n\"b""#);
        let long = "\u{43c}".repeat(1000);
        let shown = Quoted(&long).to_string();
        assert_eq!(shown.chars().count(), 48 + 2 + 3);
        assert!(shown.ends_with("\"..."));
    }
}
