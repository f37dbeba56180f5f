//! Members of the draft's lists, `"name";q=20;w=60`, with strings and integers as in RFC 9651.

use std::fmt::Write;

use bytes::Bytes;

use super::number::{MOST, ready};

/// Encodes a policy's name for use between quotes: quotes and backslashes are escaped, and characters that
/// a string cannot hold are percent-encoded. So is `%`, so that no two names become the same.
pub(super) fn encode(name: &str) -> Box<str> {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => {
                encoded.push('\\');
                encoded.push(char::from(byte));
            }
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded.into()
}

/// The text of a header value.
pub(super) struct Text(Vec<u8>);

impl Text {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Takes no further allocation if the text is as long as was said at first.
    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into_boxed_slice().into()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Separates the next member from the last, if there is one.
    pub(super) fn separate(&mut self) {
        if !self.0.is_empty() {
            self.push(b", ");
        }
    }

    /// Starts a member with this name, unless the list already has one; returns whether it did.
    pub(super) fn member(&mut self, name: &str) -> bool {
        if has(&self.0, name.as_bytes()) {
            return false;
        }
        self.separate();
        self.push(b"\"");
        self.push(name.as_bytes());
        self.push(b"\"");
        true
    }

    /// Adds `;key=number`, with a key of one letter.
    pub(super) fn parameter(&mut self, key: &str, number: u64) {
        self.push(b";");
        self.push(key.as_bytes());
        self.push(b"=");
        self.number(number);
    }

    fn number(&mut self, number: u64) {
        if let Some(digits) = ready(number) {
            return self.push(digits);
        }
        let mut digits = [0; 15];
        let mut left = number.min(MOST);
        let mut start = digits.len();
        loop {
            start -= 1;
            // A remainder modulo ten is a digit.
            digits[start] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 || start == 0 {
                break;
            }
        }
        self.push(&digits[start..]);
    }
}

/// The length of `;k=number`.
pub(super) fn parameter_len(number: u64) -> usize {
    ";k=".len() + number.min(MOST).checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Whether a line holds only members as in the current draft: strings with parameters. Members of older
/// drafts (`limit=100, remaining=50`) would make the whole list unparsable.
pub(super) fn is_list(line: &[u8]) -> bool {
    let mut rest = line;
    loop {
        let Some(text) = rest.trim_ascii_start().strip_prefix(b"\"") else { return false };
        let Some(end) = string_end(text) else { return false };
        let Some((parameters, next)) = to_comma(&text[end + 1..]) else { return false };
        if !matches!(parameters.trim_ascii_end().first(), None | Some(b';')) {
            return false;
        }
        let Some(next) = next else { return line.is_ascii() };
        rest = next;
    }
}

/// The text before the next comma outside strings, and the text after it if there is a comma; `None` if a
/// string is not terminated.
fn to_comma(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += match byte {
            b',' => return Some((&text[..at], Some(&text[at + 1..]))),
            b'"' => string_end(&text[at + 1..])? + 2,
            _ => 1,
        };
    }
    Some((text, None))
}

/// Whether a list has a member with this encoded name. Strings in parameters do not count.
fn has(list: &[u8], name: &[u8]) -> bool {
    let mut rest = Some(list);
    while let Some(text) = rest.and_then(|list| list.trim_ascii_start().strip_prefix(b"\"")) {
        let Some(end) = string_end(text) else { return false };
        if &text[..end] == name {
            return true;
        }
        rest = to_comma(&text[end + 1..]).and_then(|(_, next)| next);
    }
    false
}

/// The end of a string whose opening quote has just been read.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let end = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: Text) -> String {
        String::from_utf8(text.into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn names_are_escaped_and_stay_apart() {
        assert_eq!(&*encode("api:burst"), "api:burst");
        assert_eq!(&*encode("größe \"x\" \\ 5%\n"), "gr%C3%B6%C3%9Fe \\\"x\\\" \\\\ 5%25%0A");
        assert_ne!(encode("%22"), encode("\""));
    }

    #[test]
    fn numbers_have_fifteen_digits_at_most() {
        for (number, digits) in
            [(0, "0"), (7, "7"), (10, "10"), (MOST, "999999999999999"), (u64::MAX, "999999999999999")]
        {
            let mut text = Text::with_capacity(0);
            text.number(number);
            assert_eq!(shown(text), digits);
        }
    }

    #[test]
    fn members_of_the_present_draft_are_told_from_others() {
        for line in [r#""a""#, r#""a";r=4;t=52"#, r#"  "a"; r=4, "b\"c,";q="x, y";w=1 ,	"c" "#, r#""";q=1"#] {
            assert!(is_list(line.as_bytes()), "{line}");
        }
        for line in [
            "",
            " ",
            "100",
            "100;w=60",
            "limit=100, remaining=50, reset=5",
            "default;r=50;t=30",
            r#""a";r=4,"#,
            r#""a";r=4, limit=100"#,
            r#""a" "b""#,
            r#""a"=1"#,
            r#""a"#,
            r#""a";q="x"#,
            r#""a\""#,
            r#"("a");r=4"#,
            r#""größe";r=4"#,
        ] {
            assert!(!is_list(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn the_length_of_a_parameter_is_known_beforehand() {
        for number in [0, 1, 9, 10, 99, 100, 9_999, 10_000, MOST - 1, MOST, MOST + 1, u64::MAX] {
            let mut text = Text::with_capacity(0);
            text.parameter("q", number);
            assert_eq!(shown(text).len(), parameter_len(number), "{number}");
        }
    }

    #[test]
    fn a_name_stands_once() {
        let mut text = Text::with_capacity(0);
        for (name, new) in
            [("a", true), ("b\\\"", true), ("a", false), ("b\\\"", false), ("b", true), ("\\\\", true)]
        {
            assert_eq!(text.member(name), new, "{name}");
            if new {
                text.parameter("q", 1);
            }
        }
        assert_eq!(shown(text), "\"a\";q=1, \"b\\\"\";q=1, \"b\";q=1, \"\\\\\";q=1");
    }

    #[test]
    fn strings_of_parameters_are_no_names() {
        let list = r#""a";q=1;x="b",	"c, d";x=", ";y="e"  ,"f""#;
        for (name, there) in
            [("a", true), ("b", false), ("c, d", true), (", ", false), ("e", false), ("f", true)]
        {
            assert_eq!(has(list.as_bytes(), name.as_bytes()), there, "{name}");
        }
    }
}
