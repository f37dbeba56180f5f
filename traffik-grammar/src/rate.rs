//! Rates: how much is allowed per period, as in `"20/min"` or `"10 per 30 seconds"`.
//!
//! ```text
//! rate   = limit "/" [count] unit | limit "per" [count] unit | "unlimited"
//! limit  = digits, 1 to 2^53 - 1
//! count  = digits, 1 or more (one when absent)
//! unit   = us microsecond(s) | ms millisecond(s) | s sec second(s) | m min minute(s)
//!        | h hr hour(s) | d day(s) | w week(s)
//! ```
//!
//! Letter case is ignored, spaces and tabs are allowed around each part, and `_` is allowed between
//! digits. Nothing else is accepted: no signs, fractions, exponents or calendar months.
//!
//! # Bounds
//!
//! The limit is at most [`MAX_LIMIT`] and the period at most [`MAX_PERIOD_MICROS`]. Backends may
//! compute with double-precision numbers, which represent integers exactly only up to 2^53.
//!
//! Parsing has two stages: [`shape`] checks only the syntax, [`parse`] also checks the bounds.

mod explain;
mod guess;
mod read;

use std::fmt;
use std::str::FromStr;

use crate::error::message_error;
use read::read;

/// The highest limit of a rate: 2^53 - 1. Up to this, double-precision numbers represent integers exactly.
pub const MAX_LIMIT: u64 = (1 << 53) - 1;

/// The longest period of a rate in microseconds: 36,525 days, which is 100 years.
pub const MAX_PERIOD_MICROS: u64 = 36_525 * DAY;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// All names of units, with their length in microseconds. If several names are equally close to a mistyped one, the
/// first of them is suggested.
const UNITS: [(&str, u64); 24] = [
    ("min", MINUTE),
    ("sec", SECOND),
    ("hour", HOUR),
    ("day", DAY),
    ("week", WEEK),
    ("ms", MILLI),
    ("us", 1),
    ("hr", HOUR),
    ("s", SECOND),
    ("m", MINUTE),
    ("h", HOUR),
    ("d", DAY),
    ("w", WEEK),
    ("second", SECOND),
    ("minute", MINUTE),
    ("millisecond", MILLI),
    ("microsecond", 1),
    ("seconds", SECOND),
    ("minutes", MINUTE),
    ("hours", HOUR),
    ("days", DAY),
    ("weeks", WEEK),
    ("milliseconds", MILLI),
    ("microseconds", 1),
];

fn unit_names() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|(name, _)| *name)
}

/// The units used to write rates, longest first.
const WRITTEN: [(&str, u64); 7] =
    [("week", WEEK), ("day", DAY), ("hour", HOUR), ("min", MINUTE), ("s", SECOND), ("ms", MILLI), ("us", 1)];

/// A rate that is within the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateSpec {
    /// No limit at all.
    Unlimited,
    /// At most `limit` in each period.
    Limited {
        /// How much is allowed per period: 1 to [`MAX_LIMIT`].
        limit: u64,
        /// The period in microseconds: 1 to [`MAX_PERIOD_MICROS`].
        period_micros: u64,
    },
}

/// Writes the rate like [`render`], or as `unlimited`. The output parses back to the same rate.
impl fmt::Display for RateSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Limited { limit, period_micros } => write!(f, "{limit}/{}", Period(period_micros.into())),
        }
    }
}

impl FromStr for RateSpec {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        parse(text)
    }
}

/// A syntactically valid rate, bounded only by its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The word `unlimited`.
    Unlimited,
    /// A limit and a period.
    Limited {
        /// The limit, at least 1.
        limit: u64,
        /// The period in microseconds, at least 1.
        period_micros: u128,
    },
}

/// The kind of mistake in a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RateErrorKind {
    /// The text is empty or blank.
    Empty,
    /// There is no `/` or `per`, or more than one.
    Separator,
    /// The limit is missing or not a whole number.
    Limit,
    /// The count of units is not a whole number.
    Period,
    /// The unit is missing or unknown.
    Unit,
    /// The text contains several rates.
    Several,
    /// The limit or the period is zero, or otherwise out of bounds.
    OutOfBounds,
}

/// The error for an invalid rate. Its message names the culprit, the bound it breaks and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateError {
    kind: RateErrorKind,
    message: Box<str>,
    suggestion: Option<Box<str>>,
}

message_error!(RateError);

impl RateError {
    /// Returns the kind of mistake.
    pub fn kind(&self) -> RateErrorKind {
        self.kind
    }

    /// Returns a valid rate that is probably what was meant, if there is a good guess.
    ///
    /// ```
    /// let error = traffik_grammar::rate::parse("1,000 per mins").unwrap_err();
    /// assert_eq!(error.suggestion(), Some("1000/min"));
    /// ```
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

/// Parses a rate and checks its bounds.
///
/// # Errors
///
/// Returns a [`RateError`] if `text` doesn't follow the [grammar](self) or the rate is out of bounds.
///
/// ```
/// use traffik_grammar::rate::{RateSpec, parse};
///
/// let rate = RateSpec::Limited { limit: 10, period_micros: 30_000_000 };
/// assert_eq!(parse("10/30s")?, rate);
/// assert_eq!(parse(" 10 PER 30 seconds ")?, rate);
/// assert_eq!(parse("unlimited")?, RateSpec::Unlimited);
///
/// let error = parse("5.5/min").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"the limit "5.5" is not a whole number; write digits only, such as "5/min""#,
/// );
/// # Ok::<(), traffik_grammar::RateError>(())
/// ```
pub fn parse(text: &str) -> Result<RateSpec, RateError> {
    bound(shape(text)?)
}

/// Parses a rate without checking its bounds.
///
/// # Errors
///
/// Returns a [`RateError`] if `text` doesn't follow the [grammar](self), the limit is zero or above `u64::MAX`,
/// or the period is zero or above `u128::MAX` microseconds.
///
/// ```
/// use traffik_grammar::rate::{Shape, parse, shape};
///
/// let millennium = Shape::Limited { limit: 5, period_micros: 365_250 * 86_400_000_000 };
/// assert_eq!(shape("5/365250d")?, millennium);
/// assert!(parse("5/365250d").is_err());
/// # Ok::<(), traffik_grammar::RateError>(())
/// ```
pub fn shape(text: &str) -> Result<Shape, RateError> {
    read(text).map_err(|fault| explain::syntax(text, fault))
}

/// Checks the bounds of a rate that was not given as text.
///
/// The period is in microseconds. Its type is wide enough for any `Duration`, so that an excessive one can be
/// passed in and reported.
///
/// # Errors
///
/// Returns a [`RateError`] of kind [`OutOfBounds`](RateErrorKind::OutOfBounds) if the limit is not within 1
/// to [`MAX_LIMIT`], or the period is not within 1 to [`MAX_PERIOD_MICROS`].
///
/// ```
/// use std::time::Duration;
/// use traffik_grammar::rate::check_bounds;
///
/// assert!(check_bounds(20, Duration::from_secs(60).as_micros()).is_ok());
/// assert!(check_bounds(20, Duration::MAX.as_micros()).is_err());
/// assert!(check_bounds(0, 1).is_err());
/// ```
pub fn check_bounds(limit: u64, period_micros: u128) -> Result<(), RateError> {
    if within_bounds(limit, period_micros) { Ok(()) } else { Err(explain::bounds(limit, period_micros)) }
}

/// Returns whether [`check_bounds`] would succeed. Also works in constants.
pub const fn within_bounds(limit: u64, period_micros: u128) -> bool {
    1 <= limit
        && limit <= MAX_LIMIT
        && 1 <= period_micros
        // A widening cast; `From` can't be called in a constant.
        && period_micros <= MAX_PERIOD_MICROS as u128
}

/// Writes a rate for people to read, with the longest unit that divides its period.
///
/// Any rate within the bounds parses back to itself.
///
/// ```
/// use traffik_grammar::rate::render;
///
/// assert_eq!(render(20, 60_000_000), "20/min");
/// assert_eq!(render(10, 30_000_000), "10/30s");
/// assert_eq!(render(1, 1_500), "1/1500us");
/// ```
pub fn render(limit: u64, period_micros: u64) -> String {
    RateSpec::Limited { limit, period_micros }.to_string()
}

/// Displays a period as in a rate: `min`, `30s`.
struct Period(u128);

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, micros) = WRITTEN
            .into_iter()
            .find(|&(_, micros)| self.0 != 0 && self.0.is_multiple_of(micros.into()))
            .unwrap_or(("us", 1));
        match self.0 / u128::from(micros) {
            1 => f.write_str(name),
            count => write!(f, "{count}{name}"),
        }
    }
}

fn bound(shape: Shape) -> Result<RateSpec, RateError> {
    match shape {
        Shape::Unlimited => Ok(RateSpec::Unlimited),
        Shape::Limited { limit, period_micros } => match u64::try_from(period_micros) {
            Ok(micros) if within_bounds(limit, period_micros) => {
                Ok(RateSpec::Limited { limit, period_micros: micros })
            }
            _ => Err(explain::bounds(limit, period_micros)),
        },
    }
}

#[cfg(test)]
mod tests;
