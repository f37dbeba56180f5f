//! Guesses what a rejected rate was meant to be.
//!
//! A guess is suggested only after it was parsed successfully, so every suggestion is valid.

use super::read::{Parts, read, trim, unit_micros};
use super::{Period, Shape, unit_names, within_bounds};
use crate::suggest::nearest;

/// The longest text to guess at. It bounds the work, and no real rate comes near it.
const LONGEST_GUESS: usize = 96;

/// Recognizes other words for "no limit", and misspellings of `unlimited`.
pub(super) fn unlimited(word: &str) -> Option<&'static str> {
    const WORDS: [&str; 8] =
        ["inf", "infinite", "infinity", "none", "off", "no limit", "nolimit", "\u{221e}"];
    let known = WORDS.iter().any(|known| known.eq_ignore_ascii_case(word));
    (known || nearest(word, ["unlimited"]).is_some()).then_some("unlimited")
}

/// Returns the whole numbers that a malformed one may have meant, likeliest first.
pub(super) fn whole(text: &str) -> Vec<String> {
    let ascii: String = head(text).chars().map(ascii_digit).collect();
    let ascii = ascii.trim_start_matches(['+', '-', ' ']);
    let end = ascii.find(|c: char| !c.is_ascii_digit()).unwrap_or(ascii.len());
    let (digits, tail) = ascii.split_at(end);
    let mut numbers = Vec::new();
    if let Some(number) = ungrouped(ascii) {
        numbers.push(number);
    }
    if let Some(zeros) = power_of_ten(tail) {
        numbers.push(format!("{digits}{:0<zeros$}", ""));
    }
    numbers.push(digits.to_owned());
    numbers
}

/// Removes the separators from numbers such as `1,000`, `1 000` and `5__0`.
fn ungrouped(text: &str) -> Option<String> {
    let underscores = text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let thousands = text
        .split([',', ' ', '\''])
        .enumerate()
        .all(|(at, group)| (at == 0 || group.len() == 3) && group.bytes().all(|byte| byte.is_ascii_digit()));
    (underscores || thousands).then(|| text.chars().filter(char::is_ascii_digit).collect())
}

/// Returns the number of zeros that `k` or an exponent such as `e3` stands for.
fn power_of_ten(tail: &str) -> Option<usize> {
    if tail.eq_ignore_ascii_case("k") {
        return Some(3);
    }
    let zeros = tail.strip_prefix(['e', 'E'])?.trim_start_matches('+');
    zeros.parse().ok().filter(|&zeros| zeros <= 15)
}

/// Converts a full-width digit to ASCII.
fn ascii_digit(c: char) -> char {
    match u32::from(c).checked_sub(0xff10) {
        Some(digit @ 0..=9) => char::from_digit(digit, 10).unwrap_or(c),
        _ => c,
    }
}

/// Converts a decimal count of a known unit, such as `1.5s`, to a unit in which it is whole.
pub(super) fn exact(parts: Parts<'_>) -> Option<String> {
    let (int, frac) = parts.count.split_once('.')?;
    let unit = u128::from(unit_micros(parts.unit)?);
    let scale = 10_u128.checked_pow(u32::try_from(frac.len()).ok()?)?;
    let scaled: u128 = format!("{int}{frac}").parse().ok()?;
    let micros = scaled.checked_mul(unit)?;
    micros.is_multiple_of(scale).then(|| Period(micros / scale).to_string())
}

/// Converts a limit below one, such as `0.5/s`, to a whole one in a longer period. No digits of it would do.
pub(super) fn longer(parts: Parts<'_>) -> Option<String> {
    let (int, frac) = parts.limit.split_once('.')?;
    if int.bytes().any(|byte| byte != b'0') || !frac.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = 10_u64.checked_pow(u32::try_from(frac.len()).ok()?)?;
    let limit: u64 = frac.parse().ok()?;
    let count: u64 = if parts.count.is_empty() { 1 } else { parts.count.parse().ok()? };
    let divisor = gcd(limit, scale);
    let count = count.checked_mul(scale / divisor)?;
    guess(&(limit / divisor).to_string(), &[&format!("{count}{}", parts.unit)])
}

/// The greatest common divisor; `b` is not 0.
fn gcd(a: u64, b: u64) -> u64 {
    if a == 0 { b } else { gcd(b % a, a) }
}

/// Returns the first valid rate that has this limit and one of these periods.
pub(super) fn guess(limit: &str, periods: &[&str]) -> Option<String> {
    for period in periods {
        let rate = format!("{limit}/{}", corrected_unit(period));
        if parses(&rate) {
            return Some(rate);
        }
    }
    None
}

fn parses(rate: &str) -> bool {
    rate.len() <= LONGEST_GUESS
        && match read(rate) {
            Ok(Shape::Limited { limit, period_micros }) => within_bounds(limit, period_micros),
            Ok(Shape::Unlimited) => true,
            Err(_) => false,
        }
}

/// Replaces the period's unit with the closest known one, so that a second mistake does not prevent a guess about the
/// first.
fn corrected_unit(period: &str) -> String {
    let (count, unit) = period.split_at(period.find(char::is_alphabetic).unwrap_or(period.len()));
    let known = nearest(unit, unit_names()).unwrap_or(unit);
    format!("{}{known}", trim(count))
}

/// Returns the start of the text, as much as guesses consider.
pub(super) fn head(text: &str) -> &str {
    match text.char_indices().nth(LONGEST_GUESS) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}
