//! Property tests over random texts, rates, patterns and paths.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use traffik_grammar::rate::{self, MAX_LIMIT, MAX_PERIOD_MICROS, RateSpec};
use traffik_grammar::{PathPattern, suggest, uid};

/// Generates a valid pattern. Literals have a tiny alphabet, so that paths often match.
fn pattern() -> impl Strategy<Value = String> {
    let segment = select(vec!["a", "b", "%61", "ab", "*", "**", "**"]);
    (vec(segment, 0..7), any::<bool>()).prop_map(|(segments, slash)| {
        let mut text = format!("/{}", segments.join("/"));
        if slash && text.len() > 1 {
            text.push('/');
        }
        text
    })
}

fn path() -> impl Strategy<Value = String> {
    let piece = select(vec!["a", "b", "%61", "%62", "%2F", "%", "/", "/", "/", "/a", "/b"]);
    vec(piece, 0..14).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// Returns the segments of a path in each of its readings.
fn readings(path: &str) -> [Vec<&str>; 3] {
    let inner = path.trim_matches('/');
    [
        path.split('/').filter(|segment| !segment.is_empty()).collect(),
        path.strip_suffix('/').unwrap_or(path).split('/').skip(1).collect(),
        if inner.is_empty() { Vec::new() } else { inner.split('/').collect() },
    ]
}

/// Defines a match by trying every way to spread `**`. Returns whether some reading matches, and whether all of them do
/// without escapes that the pattern lacks.
fn reference(pattern: &str, path: &str) -> (bool, bool) {
    fn decode(segment: &str) -> Vec<u8> {
        let bytes = segment.as_bytes();
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let escape = segment.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
            match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) => {
                    decoded.push(byte);
                    at += 3;
                }
                None => {
                    decoded.push(bytes[at]);
                    at += 1;
                }
            }
        }
        decoded
    }
    fn spread(pattern: &[&str], path: &[&str], strict: bool) -> bool {
        match pattern {
            [] => path.is_empty(),
            ["**", rest @ ..] => (0..=path.len()).any(|taken| spread(rest, &path[taken..], strict)),
            [first, rest @ ..] => path.split_first().is_some_and(|(segment, below)| {
                let as_written = first.contains('%') || !segment.contains('%');
                let same = decode(first) == decode(segment) && (as_written || !strict);
                (*first == "*" || same) && spread(rest, below, strict)
            }),
        }
    }
    let mut pieces: Vec<&str> = pattern.split('/').filter(|s| !s.is_empty()).collect();
    if !pattern.contains('*') {
        pieces.push("**");
    }
    let readings = readings(path);
    (
        readings.iter().any(|segments| spread(&pieces, segments, false)),
        readings.iter().all(|segments| spread(&pieces, segments, true)),
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4096,
        failure_persistence: None,
        // The seed is fixed, so that every run tries the same cases. Change it to try others.
        rng_seed: RngSeed::Fixed(0x7261_6666_696b),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_text_panics(text in ".*", other in ".*") {
        let _ = rate::parse(&text);
        let _ = rate::shape(&text);
        let _ = uid::check(&text);
        if let Ok(pattern) = PathPattern::parse(&text) {
            prop_assert!(pattern.may_match(&other) || !pattern.must_match(&other));
        }
        let _ = PathPattern::parse(&format!("/{text}")).map(|pattern| pattern.may_match(&other));
        let _ = suggest::nearest(&text, [other.as_str(), "rate"]);
    }

    #[test]
    fn no_near_miss_panics_and_every_suggestion_parses(
        text in "[0-9_.,+e\\- ]{0,24}(/|per|//| )?[0-9_. ]{0,24}(min|mins|s|d|month|y|µs|h30m|)[ ,;]?(5/h)?"
    ) {
        for error in [rate::parse(&text).err(), rate::shape(&text).err()].into_iter().flatten() {
            prop_assert!(!error.to_string().is_empty());
            if let Some(suggestion) = error.suggestion() {
                prop_assert!(rate::parse(suggestion).is_ok(), "{text:?} -> {suggestion:?}");
            }
        }
    }

    #[test]
    fn every_suggested_uid_is_valid(text in ".*", near in "[a-z:./@_\\- #é]{0,80}") {
        for text in [text, near] {
            if let Err(error) = uid::check(&text)
                && let Some(suggestion) = error.suggestion()
            {
                prop_assert_eq!(uid::check(suggestion), Ok(()));
            }
        }
    }

    #[test]
    fn what_is_rendered_parses_back(
        limit in 1..=MAX_LIMIT,
        (unit, count) in select(vec![1, 1_000, 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000_u64])
            .prop_flat_map(|unit| (Just(unit), 1..=MAX_PERIOD_MICROS / unit)),
    ) {
        let period_micros = unit * count;
        let rate = RateSpec::Limited { limit, period_micros };
        prop_assert_eq!(rate::parse(&rate::render(limit, period_micros)), Ok(rate));
        prop_assert_eq!(rate.to_string().parse(), Ok(rate));
    }

    #[test]
    fn bounds_have_one_owner(limit: u64, micros: u128) {
        let within = rate::within_bounds(limit, micros);
        prop_assert_eq!(rate::check_bounds(limit, micros).is_ok(), within);
        if limit > 0 && micros > 0 {
            prop_assert_eq!(rate::parse(&format!("{limit}/{micros}us")).is_ok(), within);
        }
    }

    #[test]
    fn patterns_match_by_their_definition(pattern in pattern(), path in path()) {
        let compiled = PathPattern::parse(&pattern).expect("the pattern is valid");
        prop_assert_eq!(
            (compiled.may_match(&path), compiled.must_match(&path)),
            reference(&pattern, &path),
            "{} on {}", pattern, path
        );
    }

    #[test]
    fn no_other_spelling_gets_around_a_pattern(
        pattern in pattern(),
        path in "(/[a-c]{1,2}){0,5}",
        escaped: u64,
    ) {
        let compiled = PathPattern::parse(&pattern).expect("the pattern is valid");
        let plain = format!("{path}/");
        let spelled: String = plain
            .char_indices()
            .map(|(at, c)| match c {
                c if c != '/' && escaped >> (at % 64) & 1 == 1 => format!("%{:02x}", u32::from(c)),
                c => c.to_string(),
            })
            .collect();
        let counted = compiled.may_match(&plain);
        prop_assert_eq!(counted, compiled.may_match(&spelled), "{} on {}", pattern, spelled);
        let doubled = spelled.replace('/', "//");
        prop_assert!(!counted || compiled.may_match(&doubled), "{} on {}", pattern, doubled);
    }
}
