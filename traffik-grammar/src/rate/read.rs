//! The parser: turns a text into a shape, or a fault.

use super::{Shape, UNITS};

/// The first thing that the parser could not accept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault<'a> {
    Empty,
    NoSeparator,
    Limit(Parts<'a>),
    LimitZero(Parts<'a>),
    LimitTooLarge(Parts<'a>),
    Period(Parts<'a>),
    PeriodZero(Parts<'a>),
    PeriodTooLarge(Parts<'a>),
    Unit(Parts<'a>),
}

/// The parts of `<limit> <separator> <count> <unit>`, with blanks trimmed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) limit: &'a str,
    pub(super) count: &'a str,
    pub(super) unit: &'a str,
}

/// Parses a rate. Only identifies the fault; `explain` finds the wording, which requires guessing what was meant.
pub(super) fn read(text: &str) -> Result<Shape, Fault<'_>> {
    let text = trim(text);
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    if text.eq_ignore_ascii_case("unlimited") {
        return Ok(Shape::Unlimited);
    }
    let parts = split(text).ok_or(Fault::NoSeparator)?;
    let limit = match number(parts.limit) {
        Number::Value(0) => return Err(Fault::LimitZero(parts)),
        Number::Value(limit) => u64::try_from(limit).map_err(|_| Fault::LimitTooLarge(parts))?,
        Number::TooLarge => return Err(Fault::LimitTooLarge(parts)),
        Number::Malformed => return Err(Fault::Limit(parts)),
    };
    let count = match number(parts.count) {
        _ if parts.count.is_empty() => 1,
        Number::Value(0) => return Err(Fault::PeriodZero(parts)),
        Number::Value(count) => count,
        Number::TooLarge => return Err(Fault::PeriodTooLarge(parts)),
        Number::Malformed => return Err(Fault::Period(parts)),
    };
    let unit = unit_micros(parts.unit).ok_or(Fault::Unit(parts))?;
    let period_micros = count.checked_mul(unit.into()).ok_or(Fault::PeriodTooLarge(parts))?;
    Ok(Shape::Limited { limit, period_micros })
}

/// Splits the text at the first separator, and then before the first letter after it.
fn split(text: &str) -> Option<Parts<'_>> {
    let slash = text.find('/');
    let per = text.as_bytes().windows(3).position(|word| word.eq_ignore_ascii_case(b"per"));
    let (at, len) = match (slash, per) {
        (Some(slash), Some(per)) if per < slash => (per, 3),
        (Some(slash), _) => (slash, 1),
        (None, per) => (per?, 3),
    };
    let period = trim(&text[at + len..]);
    let unit = period.find(char::is_alphabetic).unwrap_or(period.len());
    Some(Parts { limit: trim(&text[..at]), count: trim(&period[..unit]), unit: &period[unit..] })
}

pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

enum Number {
    Value(u128),
    TooLarge,
    Malformed,
}

/// Parses ASCII digits, with single `_` allowed between them.
fn number(text: &str) -> Number {
    let mut digit_before = false;
    let mut value = Some(0_u128);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                let digit = u128::from(byte - b'0');
                value = value.and_then(|v| v.checked_mul(10)?.checked_add(digit));
                digit_before = true;
            }
            b'_' if digit_before => digit_before = false,
            _ => return Number::Malformed,
        }
    }
    match value {
        _ if !digit_before => Number::Malformed,
        Some(value) => Number::Value(value),
        None => Number::TooLarge,
    }
}

pub(super) fn unit_micros(name: &str) -> Option<u64> {
    UNITS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, micros)| micros)
}
