//! Parameters out of bounds are rejected with a message that names the value, the bound and the remedy.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::strategy::*;

#[track_caller]
fn refused(strategy: impl Strategy, rate: Rate, words: &[&str]) {
    let reason = strategy.validate(&rate).expect_err("out of bounds");
    for word in words {
        assert!(reason.contains(word), "{word:?} is not in: {reason}");
    }
}

#[test]
fn knobs_out_of_bounds_are_named() {
    let hourly = rate(100, HOUR);
    refused(TokenBucket::new().burst(0), hourly, &["burst", "0", "at least 1"]);
    refused(Gcra::new().burst(0), hourly, &["burst", "0", "at least 1"]);
    refused(TokenBucket::new(), rate((1 << 53) - 1, DAY), &["9007199254740991", "2^53", "smaller burst"]);
    // One unit more than can be counted.
    refused(Gcra::new().burst(1 << 20), rate(1, 1 << 33), &["1048576 units", "8589934592", "smaller burst"]);
    refused(SlidingWindow::new(), rate(1 << 40, SECOND), &["1099511627776", "lower the limit"]);
    refused(LeakyQueue::new(), rate(1 << 52, DAY), &["4503599627370496", "4503599627370495", "lower"]);
    refused(Tiered::new().tier("free", 0), hourly, &["\"free\"", "0", "at least 1"]);
    refused(Tiered::new().others(0), hourly, &["others", "0", "at least 1"]);
    refused(Tiered::new().tier("all", 1 << 52), hourly, &["\"all\"", "4503599627370496", "2^53", "lower"]);
    refused(Tiered::new().others(1 << 13), rate(1 << 40, DAY), &["others", "8192", "1099511627776", "2^53"]);
    refused(PriorityReserve::new().share(Priority::Low, 90), hourly, &["135 percent", "at most 100"]);
    refused(PriorityReserve::new(), rate(1, HOUR), &["Priority::Low", "0 units", "raise"]);
    refused(Rollover::new().percent(0), hourly, &["0 percent", "1 to 100"]);
    refused(Rollover::new().percent(101), hourly, &["101 percent", "1 to 100"]);
    refused(Rollover::new().cap(0), hourly, &["cap is 0", "at least 1"]);
    refused(Rollover::new(), rate((1 << 53) - 1, DAY), &["2^53", "lower"]);
    refused(Adaptive::new().threshold(100), hourly, &["threshold", "100", "1 to 99"]);
    refused(Adaptive::new().reduction(0), hourly, &["reduction", "0", "1 to 99"]);
    refused(Adaptive::new().recovery(0), hourly, &["recovery", "0", "1 to 100"]);
    refused(Adaptive::new().floor(101), hourly, &["floor", "101", "1 to 100"]);
    refused(TimeOfDay::new().hours(24, 3, 50), hourly, &["from 24 to 3", "0 to 23"]);
    refused(TimeOfDay::new().hours(3, 3, 50), hourly, &["from 3 to 3", "a different hour"]);
    refused(TimeOfDay::new().hours(3, 4, 100_001), hourly, &["100001 percent", "100000"]);
    refused(
        TimeOfDay::new().hours(3, 4, 200),
        rate(1 << 52, DAY),
        &["200 percent", "from hour 3 to 4", "2^53"],
    );
    refused(TimeOfDay::new().utc_offset(1_440), hourly, &["1440", "1439"]);
    refused(TimeOfDay::new().utc_offset(i32::MIN), hourly, &["-2147483648", "1439"]);
    refused(TimeOfDay::new().hours(0, 24, 0), hourly, &["0 at every hour"]);
    refused(CostAdaptive::new().last(0), hourly, &["last 0", "1 to 64"]);
    refused(CostAdaptive::new().last(65), hourly, &["last 65", "1 to 64"]);
    refused(CostAdaptive::new().normal(0), hourly, &["normal", "0", "at least 1"]);
    refused(CostAdaptive::new().floor(0), hourly, &["floor", "0", "1 to 100"]);
    refused(CostAdaptive::new(), rate((1 << 53) - 1, DAY), &["9007199254740991", "2^63"]);
}

#[test]
fn a_thousand_million_a_year_and_a_second_can_be_counted() {
    for rate in [
        rate(1_000_000_000, 366 * DAY),
        rate(1_000_000_000, SECOND),
        rate(1, 366 * DAY),
        rate(999_983, MINUTE),
    ] {
        for case in cases::all() {
            // A share of a single unit rounds to zero.
            if case.strategy.name() != "priority_reserve" || rate.limit() > 1 {
                assert_eq!(case.strategy.validate(&rate), Ok(()), "{:?} at {rate}", case.strategy);
            }
        }
    }
}

/// Returns the name of the strategy's type.
fn kind(strategy: &dyn Strategy) -> String {
    let shown = format!("{strategy:?}");
    shown.split([' ', '(']).next().unwrap_or_default().to_owned()
}

#[test]
fn names_are_short_words_and_tell_states_apart() {
    let mut seen = BTreeMap::new();
    for case in cases::all() {
        let name = case.strategy.name();
        assert!(
            name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
        let kind = kind(&*case.strategy);
        let staggered = case.strategy.staggered();
        assert_eq!(seen.entry(name.to_owned()).or_insert((kind.clone(), staggered)), &(kind, staggered));
    }
    // `fixed_window_staggered` has a name of its own.
    assert_eq!(seen.len(), 14, "a strategy was added or removed: update this number. Tested here: {seen:#?}");
}

#[test]
fn the_last_word_on_a_tier_and_on_an_hour_counts() {
    let hourly = rate(100, HOUR);
    let tiered = Tiered::new().tier("premium", 3).tier("premium", 4);
    assert_eq!(tiered.capacity(&hourly), 400);
    assert_eq!(tiered.others(5).capacity(&hourly), 500);
    assert_eq!(Tiered::default(), Tiered::new());
    let limits = |strategy: &TimeOfDay, hour: u64| {
        peek(strategy, &State::Empty, &ask(Op::Check, hour * HOUR + START / DAY * DAY, &hourly, 1, who(0)))
            .limit
    };
    let strategy = TimeOfDay::new().hours(0, 24, 50).hours(22, 6, 200).utc_offset(60);
    assert_eq!([20, 21, 4, 5, 12].map(|hour| limits(&strategy, hour)), [50, 200, 200, 50, 50]);
}

/// Every file must state this at the top, so that readers can choose without reading on. Every
/// strategy must also have test cases.
#[test]
fn every_file_says_what_it_costs_and_when_to_take_it() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/strategy");
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if !text.contains("\nimpl Strategy for ") {
            continue;
        }
        let name = path.display();
        let (head, rest) = text.split_once("pub struct ").unwrap();
        let head = head.replace("\n///", "");
        for part in [
            "//! [`",
            " State, ",
            "bytes a client: ",
            "ound trip",
            "**When:**",
            "**When not:**",
            "A changed ",
        ] {
            assert!(head.contains(part), "{name} does not say {part:?} on top");
        }
        let told = if text.contains("fn twin(") { "1 on Redis" } else { "2 on Redis" };
        assert!(head.contains(told), "{name}: round trips are {told}");
        found.insert(rest.split([' ', ';']).next().unwrap().to_owned());
    }
    let tried: BTreeSet<String> = cases::all().iter().map(|case| kind(&*case.strategy)).collect();
    assert_eq!(found, tried);
}

/// While a shorter memory is being rolled out, states still hold more costs than it has room for.
#[test]
fn a_shorter_memory_counts_at_once() {
    let hourly = rate(100, HOUR);
    let (long, short) = (CostAdaptive::new(), CostAdaptive::new().last(2));
    let mut state = State::Empty;
    for cost in [40, 1, 1] {
        assert!(long.step(&mut state, &ask(Op::Hit, START, &hourly, cost, who(0))).admitted);
    }
    let reset = |strategy: &dyn Strategy| {
        peek(strategy, &state, &ask(Op::Check, START, &hourly, 1, who(0))).reset_after
    };
    assert_eq!(reset(&short), 42 * 36 * SECOND);
    assert!(reset(&long) > reset(&short));
}

/// Whatever is in the account.
#[test]
fn a_hit_of_nothing_changes_nothing() {
    for case in cases::all() {
        let rate = rate(20, HOUR);
        let mut state = State::Empty;
        for cost in [0, 3, 0, 1] {
            case.strategy.step(&mut state, &ask(Op::Hit, START, &rate, cost, who(9)));
        }
        let look = |state: &State| peek(&*case.strategy, state, &ask(Op::Check, START + 2, &rate, 1, who(9)));
        let before = look(&state);
        assert!(case.strategy.step(&mut state, &ask(Op::Hit, START + 1, &rate, 0, who(9))).admitted);
        assert_eq!(look(&state), before, "{:?}", case.strategy);
    }
}
