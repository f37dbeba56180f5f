//! The wording of errors. Runs only after a rate has been rejected.

use std::borrow::Cow;

use super::guess::{exact, guess, head, longer, unlimited, whole};
use super::read::{Fault, Parts, read, trim, unit_micros};
use super::{MAX_LIMIT, MAX_PERIOD_MICROS, Period, RateError, RateErrorKind, Shape, unit_names};
use crate::error::Quoted;
use crate::suggest::nearest;

/// Names that people use for units, each with the count and the unit that it stands for.
///
/// Calendar units have no fixed length, so they are not part of the grammar; days are suggested instead.
const FOREIGN_UNITS: [(&[&str], u128, &str); 7] = [
    (&["mo", "mon", "mth", "month", "months"], 30, "days"),
    (&["y", "yr", "yrs", "year", "years"], 365, "days"),
    (&["fortnight", "fortnights"], 2, "weeks"),
    (&["wk", "wks"], 1, "week"),
    (&["msec", "msecs", "milli", "millis"], 1, "ms"),
    // The last two are the two characters that look like a micro sign.
    (&["usec", "usecs", "micro", "micros", "\u{b5}s", "\u{3bc}s"], 1, "us"),
    (&["secs"], 1, "sec"),
];

pub(super) fn syntax(text: &str, fault: Fault<'_>) -> RateError {
    let text = trim(text);
    if let Some(error) = several(text) {
        return error;
    }
    match fault {
        Fault::Empty => refuse(
            RateErrorKind::Empty,
            "the rate is empty; write a limit and a period, such as \"20/min\", or \"unlimited\"",
            None,
        ),
        Fault::NoSeparator => no_separator(text),
        Fault::Limit(parts) => bad_limit(parts),
        Fault::LimitZero(parts) => limit_zero(&period(parts)),
        Fault::LimitTooLarge(parts) => {
            let suggestion = guess(&MAX_LIMIT.to_string(), &[&period(parts), "min"]);
            limit_too_large(parts.limit, suggestion)
        }
        Fault::Period(parts) => bad_period(parts),
        Fault::PeriodZero(parts) => {
            let suggestion = guess(parts.limit, &[parts.unit, "min"]);
            let message = format!(
                "the period {} is zero; write 1 or more, or the unit alone, such as {}",
                Quoted(&period(parts)),
                shown(&suggestion, "5/min")
            );
            refuse(RateErrorKind::OutOfBounds, &message, suggestion)
        }
        Fault::PeriodTooLarge(parts) => {
            let suggestion = guess(parts.limit, &[&longest_period()]);
            period_too_long(&period(parts), suggestion)
        }
        Fault::Unit(parts) => bad_unit(parts),
    }
}

/// The error for a rate that is out of bounds, but was not given as text or is syntactically valid.
pub(super) fn bounds(limit: u64, period_micros: u128) -> RateError {
    let period = Period(period_micros).to_string();
    if limit == 0 {
        limit_zero(&period)
    } else if limit > MAX_LIMIT {
        let suggestion = guess(&MAX_LIMIT.to_string(), &[&period, "min"]);
        limit_too_large(&limit.to_string(), suggestion)
    } else if period_micros == 0 {
        let message = "the period is shorter than the minimum of 1 microsecond; lengthen it";
        refuse(RateErrorKind::OutOfBounds, message, None)
    } else {
        let suggestion = guess(&limit.to_string(), &[&longest_period()]);
        period_too_long(&period, suggestion)
    }
}

fn limit_zero(period: &str) -> RateError {
    let suggestion = guess("1", &[period, "min"]);
    let message = format!("the limit is zero; write 1 or more, such as {}", shown(&suggestion, "1/min"));
    refuse(RateErrorKind::OutOfBounds, &message, suggestion)
}

fn limit_too_large(limit: &str, suggestion: Option<String>) -> RateError {
    let message = format!(
        "the limit {} exceeds the maximum of {MAX_LIMIT} (2^53 - 1); lower it, or write \"unlimited\"",
        Quoted(limit)
    );
    refuse(RateErrorKind::OutOfBounds, &message, suggestion)
}

fn period_too_long(period: &str, suggestion: Option<String>) -> RateError {
    let message = format!(
        "the period {} exceeds the maximum of {} (100 years); shorten it",
        Quoted(period),
        longest_period()
    );
    refuse(RateErrorKind::OutOfBounds, &message, suggestion)
}

fn longest_period() -> String {
    Period(MAX_PERIOD_MICROS.into()).to_string()
}

/// Detects several rates in one text, a mistake with its own fix.
fn several(text: &str) -> Option<RateError> {
    let head = head(text);
    let lower = head.to_ascii_lowercase();
    let listed = lower.replace(" and ", ",");
    let rates = listed.split([',', ';', '|', '&', '+', '\n']).filter(|piece| read(piece).is_ok()).count();
    // If nothing but a blank separates them, the second begins where the first one's unit ends.
    let adjacent = || {
        lower.match_indices([' ', '\t']).any(|(at, _)| {
            matches!(read(&lower[..at]), Ok(Shape::Limited { .. })) && read(&lower[at..]).is_ok()
        })
    };
    (rates > 1 || adjacent()).then(|| {
        let message =
            format!("multiple rates in one string: {}; declare one throttle per rate", Quoted(text));
        refuse(RateErrorKind::Several, &message, None)
    })
}

fn no_separator(text: &str) -> RateError {
    if let Some(word) = unlimited(text) {
        let message = format!("{} is not a rate; did you mean {word:?}?", Quoted(text));
        return refuse(RateErrorKind::Separator, &message, Some(word.to_owned()));
    }
    let head = head(text);
    let digits = head.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(head.len());
    let rest = head[digits..].trim_start_matches(|c: char| !c.is_alphanumeric());
    let suggestion = guess(&head[..digits], &[rest, "min"]);
    let message = format!(
        "no \"/\" or \"per\" between limit and period in {}; write a limit and a period, such as {}",
        Quoted(text),
        shown(&suggestion, "20/min")
    );
    refuse(RateErrorKind::Separator, &message, suggestion)
}

fn bad_limit(parts: Parts<'_>) -> RateError {
    if parts.limit.is_empty() {
        let suggestion = guess("5", &[&period(parts), "min"]);
        let message =
            format!("no limit before the period; write one, such as {}", shown(&suggestion, "5/min"));
        return refuse(RateErrorKind::Limit, &message, suggestion);
    }
    let bad = Quoted(parts.limit);
    if let Some(word) = unlimited(parts.limit) {
        let message = format!("the limit {bad} is not a whole number; write {word:?} for no limit");
        return refuse(RateErrorKind::Limit, &message, Some(word.to_owned()));
    }
    let period = period(parts);
    let likeliest = || whole(parts.limit).iter().find_map(|limit| guess(limit, &[&period, "min"]));
    let suggestion = longer(parts).or_else(likeliest);
    let message = format!(
        "the limit {bad} is not a whole number; write digits only, such as {}",
        shown(&suggestion, "5/min")
    );
    refuse(RateErrorKind::Limit, &message, suggestion)
}

fn bad_period(parts: Parts<'_>) -> RateError {
    if parts.count.starts_with('/') {
        return doubled(parts);
    }
    let with = |period: &str| guess(parts.limit, &[period]);
    let with_count = |count: &String| with(&format!("{count}{}", parts.unit));
    let suggestion = exact(parts)
        .and_then(|period| with(&period))
        .or_else(|| whole(parts.count).iter().find_map(with_count))
        .or_else(|| with(parts.unit));
    let message = format!(
        "the period {} is not a whole number of units; write digits and a unit, such as {}",
        Quoted(&period(parts)),
        shown(&suggestion, "5/30s")
    );
    refuse(RateErrorKind::Period, &message, suggestion)
}

fn bad_unit(parts: Parts<'_>) -> RateError {
    let Parts { limit, count, unit } = parts;
    if unit.is_empty() {
        let period = if count.is_empty() { "min".to_owned() } else { format!("{count}s") };
        let suggestion = guess(limit, &[&period, "min"]);
        let message = format!(
            "no time unit after the limit {}; write one of {}, such as {}",
            Quoted(limit),
            LISTED,
            shown(&suggestion, "5/min")
        );
        return refuse(RateErrorKind::Unit, &message, suggestion);
    }
    if unit.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("per")) {
        return doubled(parts);
    }
    let bad = Quoted(unit);
    let joined: String = unit.split([' ', '\t']).collect();
    let known = nearest(&joined, unit_names());
    let foreign =
        FOREIGN_UNITS.iter().find(|(names, ..)| names.iter().any(|name| name.eq_ignore_ascii_case(&joined)));
    let (message, suggestion) = if let Some(&(_, times, name)) = foreign {
        let count: String = count.chars().filter(char::is_ascii_digit).collect();
        let count = if count.is_empty() { "1" } else { &count };
        let count = count.parse().ok().and_then(|c: u128| c.checked_mul(times));
        let suggestion = match count {
            None | Some(1) => guess(limit, &[name]),
            Some(count) => guess(limit, &[&format!("{count}{name}")]),
        };
        let span = suggestion.as_deref().and_then(|rate| rate.split_once('/'));
        let span = span.map_or(name, |(_, span)| span);
        let why = if times == 30 || times == 365 { ", whose length varies" } else { "" };
        (format!("unknown time unit {bad}{why}; did you mean {span:?}?"), suggestion)
    } else if let Some(known) = known {
        let suggestion = guess(limit, &[&format!("{count}{known}")]);
        (format!("unknown time unit {bad}; did you mean {known:?}?"), suggestion)
    } else if let Some((first, tail)) = leading_unit(unit) {
        let suggestion = guess(limit, &[&format!("{count}{first}")]);
        let message = format!(
            "unexpected {} after the time unit {first:?}; end the rate there, such as {}",
            Quoted(tail),
            shown(&suggestion, "5/min")
        );
        (message, suggestion)
    } else {
        (format!("unknown time unit {bad}; use one of {LISTED}"), None)
    };
    refuse(RateErrorKind::Unit, &message, suggestion)
}

const LISTED: &str = "us, ms, s, min, hour, day, week";

/// The error for a second separator after the first.
fn doubled(parts: Parts<'_>) -> RateError {
    let rest = period(parts).to_ascii_lowercase().replace("per", " ");
    let rest = rest.trim_matches([' ', '\t', '/']);
    let suggestion = guess(parts.limit, &[rest, "min"]);
    let message = format!(
        "more than one \"/\" or \"per\" between limit and period; write one, such as {}",
        shown(&suggestion, "5/min")
    );
    refuse(RateErrorKind::Separator, &message, suggestion)
}

/// Splits the text into the unit that it begins with, and the rest.
fn leading_unit(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_alphabetic())?;
    let (unit, tail) = text.split_at(end);
    unit_micros(unit).map(|_| (unit, trim(tail)))
}

fn period(parts: Parts<'_>) -> Cow<'_, str> {
    match (parts.count, parts.unit) {
        ("", unit) => unit.into(),
        (count, "") => count.into(),
        (count, unit) => format!("{count}{unit}").into(),
    }
}

fn shown(suggestion: &Option<String>, otherwise: &str) -> String {
    format!("\"{}\"", suggestion.as_deref().unwrap_or(otherwise))
}

fn refuse(kind: RateErrorKind, message: &str, suggestion: Option<String>) -> RateError {
    RateError { kind, message: message.into(), suggestion: suggestion.map(Into::into) }
}
