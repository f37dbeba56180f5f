//! Rates: how much is allowed in how long, as in `"20/min"` or `"10 per 30 seconds"`.
//!
//! ```text
//! rate   = limit "/" [count] unit | limit "per" [count] unit | "unlimited"
//! limit  = digits, 1 to 2^53 - 1
//! count  = digits, 1 or more (one when absent)
//! unit   = us microsecond(s) | ms millisecond(s) | s sec second(s) | m min minute(s)
//!        | h hr hour(s) | d day(s) | w week(s)
//! ```
//!
//! Letter case is of no account, spaces and tabs may stand around each part, and `_` may stand
//! between digits. Nothing else is accepted: no signs, fractions, exponents or calendar months.
//!
//! # Bounds
//!
//! The limit is at most [`MAX_LIMIT`] and the period at most [`MAX_PERIOD_MICROS`]. Backends may
//! compute in double-precision numbers, which are exact for integers up to 2^53 and not beyond.
//!
//! Reading has two stages: [`shape`] knows the syntax alone, [`parse`] adds the bounds.

mod explain;
mod guess;
mod read;

use std::fmt;
use std::str::FromStr;

use crate::error::message_error;
use read::read;

/// The highest limit of a rate: 2^53 - 1, up to which double-precision integers are exact.
pub const MAX_LIMIT: u64 = (1 << 53) - 1;

/// The longest period of a rate in microseconds: 36,525 days, which is 100 years.
pub const MAX_PERIOD_MICROS: u64 = 36_525 * DAY;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// Every name of a unit, in microseconds. Of names equally near to a mistyped one, the first here is
/// proposed.
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

/// The units that rates are written in, the longest first.
const WRITTEN: [(&str, u64); 7] =
    [("week", WEEK), ("day", DAY), ("hour", HOUR), ("min", MINUTE), ("s", SECOND), ("ms", MILLI), ("us", 1)];

/// A rate within the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateSpec {
    /// No limit at all.
    Unlimited,
    /// At most `limit` in each period.
    Limited {
        /// How much is allowed in a period: 1 to [`MAX_LIMIT`].
        limit: u64,
        /// The period in microseconds: 1 to [`MAX_PERIOD_MICROS`].
        period_micros: u64,
    },
}

/// Writes the rate as [`render`] does, or `unlimited`; what is written parses back to the same rate.
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

/// A rate whose syntax is right, with no bounds applied but those of the types.
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

/// What is wrong with a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RateErrorKind {
    /// There is nothing but blanks.
    Empty,
    /// There is no `/` or `per`, or more than one.
    Separator,
    /// The limit is missing or not a whole number.
    Limit,
    /// The count of units is not a whole number.
    Period,
    /// The unit is missing or unknown.
    Unit,
    /// The text holds several rates.
    Several,
    /// The limit or the period is zero or above the bounds.
    OutOfBounds,
}

/// A rate that was refused; the message names the culprit, the bound it breaks and the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateError {
    kind: RateErrorKind,
    message: Box<str>,
    suggestion: Option<Box<str>>,
}

message_error!(RateError);

impl RateError {
    /// What is wrong.
    pub fn kind(&self) -> RateErrorKind {
        self.kind
    }

    /// A rate that parses and is probably what was meant, where one can be told.
    ///
    /// ```
    /// let error = traffik_grammar::rate::parse("1,000 per mins").unwrap_err();
    /// assert_eq!(error.suggestion(), Some("1000/min"));
    /// ```
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

/// Reads a rate and checks its bounds.
///
/// # Errors
///
/// [`RateError`] when `text` is outside the [grammar](self) or the rate outside the bounds.
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

/// Reads a rate without its bounds: the verdict on the syntax alone.
///
/// # Errors
///
/// [`RateError`] when `text` is outside the [grammar](self), the limit is zero or above `u64::MAX`,
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

/// Checks the bounds of a rate that was not written as text.
///
/// The period is in microseconds. It is wide enough for any `Duration`, so that an excessive one can
/// be passed on for its message.
///
/// # Errors
///
/// [`RateError`] of kind [`OutOfBounds`](RateErrorKind::OutOfBounds) when the limit is not within 1
/// to [`MAX_LIMIT`], or the period not within 1 to [`MAX_PERIOD_MICROS`].
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

/// Tells whether [`check_bounds`] would pass, in a constant too.
pub const fn within_bounds(limit: u64, period_micros: u128) -> bool {
    1 <= limit
        && limit <= MAX_LIMIT
        && 1 <= period_micros
        // A widening cast; `From` can't be called in a constant.
        && period_micros <= MAX_PERIOD_MICROS as u128
}

/// Writes a rate with the longest unit that divides its period, which is the form to show people.
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

/// A period as rates are written: `min`, `30s`.
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
