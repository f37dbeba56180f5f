//! Tests that every message of the library has an entry in the guide's chapter on errors, so that searching the
//! chapter for a message finds it.
//!
//! The messages are taken from the source: every string literal of two words or more outside of tests and
//! attributes, except for the `diagnostic::…` attributes, whose text is shown to the user. Literals that are not
//! messages are listed in [`NO_MESSAGES`].

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::run::root;

const SOURCES: &[&str] = &["traffik/src", "traffik-macros/src", "traffik-grammar/src"];

/// Files whose messages are seen only by authors of tests.
const NOT_THESE: &[&str] = &["tests.rs", "/tests/", "/test_kit/"];

/// The beginnings of literals that are not messages.
const NO_MESSAGES: &[&str] = &[
    // Help texts of metrics.
    "Hits, counted per throttle",
    "Units of cost charged",
    "How long refused clients",
    "Duration of backend calls",
    "Backend calls in progress",
    // `Debug` output of functions.
    "fn(&Parts",
    "async fn(&Parts",
    // Fragments of messages, and separators of lists.
    "tier {name",
    "{} or {last}",
    "{} and {last}",
    "{} (cluster)",
    // Frames around other messages, which add only names.
    "throttle {uid:?}: {error}",
    "client_ip: {mistake}",
    "headers: {mistake}",
    // Words of Redis that are looked for in its answers.
    ", with args beginning with",
    // An error that only steers the parser, and a content type.
    "not a path",
    "text/plain; charset",
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let shown = path.display().to_string();
        if path.is_dir() {
            files(&path, found);
        } else if shown.ends_with(".rs") && !NOT_THESE.iter().any(|not| shown.contains(not)) {
            found.push(path);
        }
    }
}

/// Collects the string literals of a file, except those in attributes and in `#[cfg(test)]` items.
fn literals(tokens: TokenStream, found: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if matches!(tokens.peek(), Some(TokenTree::Punct(bang)) if bang.as_char() == '!') {
                    tokens.next();
                }
                let brackets = |next: &TokenTree| matches!(next, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket);
                let Some(TokenTree::Group(attribute)) = tokens.next_if(brackets) else { continue };
                let name = attribute.stream().to_string().replace(' ', "");
                if name.starts_with("diagnostic::") {
                    literals(attribute.stream(), found);
                } else if name == "cfg(test)" {
                    // Skip the item that follows, up to the end of its body or its semicolon.
                    for skipped in tokens.by_ref() {
                        match skipped {
                            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
                            TokenTree::Punct(end) if end.as_char() == ';' => break,
                            _ => {}
                        }
                    }
                }
            }
            TokenTree::Group(group) => literals(group.stream(), found),
            TokenTree::Literal(literal) => found.extend(text(&literal.to_string())),
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// Returns the value of a string literal.
fn text(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('r') {
        return Some(raw.trim_matches('#').trim_matches('"').to_owned());
    }
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let (mut text, mut chars) = (String::new(), inner.chars().peekable());
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\\', Some('\n')) => while chars.next_if(|char| char.is_whitespace()).is_some() {},
            ('\\', Some(_)) => text.extend(chars.next()),
            _ => text.push(char),
        }
    }
    Some(text)
}

/// Converts a message to the form used in the guide, with `…` in place of each argument.
fn shown(message: &str) -> String {
    let mut shown = String::new();
    for (piece, place) in message.split(['{', '}']).zip(0..) {
        shown.push_str(if place % 2 == 0 { piece } else { "…" });
    }
    shown.replace("……", "…").trim().to_owned()
}

/// Returns each source file with its string literals.
fn sources() -> Vec<(PathBuf, Vec<String>)> {
    let mut paths = Vec::new();
    for source in SOURCES {
        files(&root().join(source), &mut paths);
    }
    let with_literals = |path: PathBuf| {
        let mut found = Vec::new();
        literals(fs::read_to_string(&path).unwrap().parse().unwrap(), &mut found);
        (path, found)
    };
    paths.into_iter().map(with_literals).collect()
}

/// Returns each message's file, and the message in the form used in the guide.
fn messages() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, found) in sources() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let found = found.into_iter().filter(|text| text.split_whitespace().count() >= 2);
        // An example of a key in use, which is part of other messages.
        let found = found.filter(|text| text.split_whitespace().nth(1) != Some("="));
        let found = found.filter(|text| !NO_MESSAGES.iter().any(|none| text.starts_with(none)));
        all.extend(found.map(|text| (name.clone(), shown(&text))));
    }
    all
}

/// Joins the text into one line.
fn plain(markdown: &str) -> String {
    let words: Vec<_> = markdown.split_whitespace().collect();
    words.join(" ")
}

#[test]
fn every_entry_has_a_cause_and_a_mend() {
    let chapter = fs::read_to_string(root().join("traffik/src/docs/errors.md")).unwrap();
    let rows: Vec<_> = chapter.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
    }
}

#[test]
fn every_message_is_found_in_the_guide() {
    let chapter = fs::read_to_string(root().join("traffik/src/docs/errors.md")).unwrap_or_default();
    // A bar in a table cell is escaped.
    let chapter = plain(&chapter).replace("\\|", "|");
    let messages = messages();
    // Make sure that the scan finds anything.
    assert!(messages.len() > 100, "{} messages", messages.len());
    let missing: Vec<_> = messages
        .iter()
        .filter(|(_, message)| !chapter.contains(&plain(message)))
        .map(|(file, message)| format!("{file}: {message}"))
        .collect();
    assert!(missing.is_empty(), "not in traffik/src/docs/errors.md:\n{}", missing.join("\n"));
}

#[test]
fn what_is_no_message_is_said_somewhere() {
    let found: Vec<String> = sources().into_iter().flat_map(|(_, found)| found).collect();
    for none in NO_MESSAGES {
        assert!(found.iter().any(|text| text.starts_with(none)), "{none:?} is in no source any more");
    }
}
