//! [`Rate`]: a number of units per period.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use traffik_grammar::Quoted;
use traffik_grammar::rate::{self as grammar, RateSpec};

use crate::clock::micros;
use crate::error::Error;

/// A number of units per period, such as 20 per minute, or [`Rate::UNLIMITED`].
///
/// The period is a whole number of microseconds. The fraction limit / period is also kept in lowest terms;
/// buckets count in those terms and thereby stay exact.
///
/// ```
/// use std::time::Duration;
/// use traffik::Rate;
///
/// let rate = Rate::parse("10/30 seconds")?;
/// assert_eq!((rate.limit(), rate.period()), (10, Duration::from_secs(30)));
/// assert_eq!(rate.to_string().parse::<Rate>()?, rate);
/// # Ok::<(), traffik::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    limit: u64,
    period: u64,
    /// `limit / gcd`: the whole tokens that arrive every `ticks` microseconds.
    tokens: u64,
    /// `period / gcd`, in microseconds.
    ticks: u64,
}

const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Rate {
    /// No limit: a hit passes, and no backend is called.
    pub const UNLIMITED: Self = Self { limit: u64::MAX, period: 0, tokens: u64::MAX, ticks: 0 };

    const fn reduced(limit: u64, period: u64) -> Self {
        let divisor = if limit == 0 { 1 } else { gcd(limit, period) };
        Self { limit, period, tokens: limit / divisor, ticks: period / divisor }
    }

    /// Parses a rate such as `"20/min"`, `"10/30 seconds"`, `"4 per day"` or `"unlimited"`.
    ///
    /// # Errors
    /// Fails if the text is not a valid rate. The error names the offending part, the bound it violates and
    /// the nearest valid spelling.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match grammar::parse(text) {
            Ok(RateSpec::Unlimited) => Ok(Self::UNLIMITED),
            Ok(RateSpec::Limited { limit, period_micros }) => Ok(Self::reduced(limit, period_micros)),
            Err(error) => Err(Error::configuration(format!("rate {}: {error}", Quoted(text)))),
        }
    }

    /// Creates a rate of `limit` units per `period`.
    ///
    /// # Errors
    /// Fails if the limit is zero or above 2^53 - 1, or if the period is shorter than a microsecond, not a
    /// whole number of microseconds, or longer than 100 years.
    pub fn new(limit: u64, period: Duration) -> Result<Self, Error> {
        if !period.subsec_nanos().is_multiple_of(1000) {
            return Err(Error::configuration(format!(
                "the period {period:?} is not a whole number of microseconds; round it"
            )));
        }
        grammar::check_bounds(limit, period.as_micros())
            .map_err(|error| Error::configuration(error.to_string()))?;
        Ok(Self::reduced(limit, micros(period)))
    }

    /// Creates a rate of `limit` units per second. A limit out of bounds is reported where the rate is
    /// used.
    #[must_use]
    pub const fn per_second(limit: u64) -> Self {
        Self::reduced(limit, 1_000_000)
    }

    /// Creates a rate of `limit` units per minute. A limit out of bounds is reported where the rate is
    /// used.
    #[must_use]
    pub const fn per_minute(limit: u64) -> Self {
        Self::reduced(limit, 60_000_000)
    }

    /// Creates a rate of `limit` units per hour. A limit out of bounds is reported where the rate is used.
    #[must_use]
    pub const fn per_hour(limit: u64) -> Self {
        Self::reduced(limit, 3_600_000_000)
    }

    /// Creates a rate of `limit` units per day. A limit out of bounds is reported where the rate is used.
    #[must_use]
    pub const fn per_day(limit: u64) -> Self {
        Self::reduced(limit, 86_400_000_000)
    }

    /// Returns the units per period; `u64::MAX` for [`Rate::UNLIMITED`].
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the period; zero for [`Rate::UNLIMITED`].
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_micros(self.period)
    }

    /// Returns the period in microseconds.
    #[must_use]
    pub const fn period_micros(&self) -> u64 {
        self.period
    }

    /// Returns the rate in lowest terms: `(tokens, ticks)` stands for `tokens` units every `ticks`
    /// microseconds, with no common divisor.
    #[must_use]
    pub const fn reduced_terms(&self) -> (u64, u64) {
        (self.tokens, self.ticks)
    }

    /// Returns `true` if this is [`Rate::UNLIMITED`].
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.period == 0
    }

    /// Returns a rate with the same period and another limit, for strategies that vary the limit.
    #[must_use]
    pub const fn with_limit(&self, limit: u64) -> Self {
        if self.is_unlimited() { *self } else { Self::reduced(limit, self.period) }
    }

    /// Checks the bounds, which the infallible constructors leave unchecked until first use.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_unlimited() {
            return Ok(());
        }
        grammar::check_bounds(self.limit, u128::from(self.period))
            .map_err(|error| Error::configuration(error.to_string()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unlimited() {
            f.write_str("unlimited")
        } else {
            f.write_str(&grammar::render(self.limit, self.period))
        }
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rate({self})")
    }
}

impl FromStr for Rate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Rate {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Rate {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

/// A value that can be converted into a rate: a [`Rate`], or a string that [`Rate::parse`] accepts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a rate",
    note = "write a string such as `\"20/min\"`, or a `traffik::Rate` such as `Rate::per_minute(20)`",
    note = "to compute the rate from each request, use `.rate_with(..)`"
)]
pub trait IntoRate {
    /// Converts the value into a rate.
    ///
    /// # Errors
    /// Fails if the string is not a valid rate.
    fn into_rate(self) -> Result<Rate, Error>;
}

impl IntoRate for Rate {
    fn into_rate(self) -> Result<Rate, Error> {
        Ok(self)
    }
}

impl IntoRate for &str {
    fn into_rate(self) -> Result<Rate, Error> {
        Rate::parse(self)
    }
}

impl IntoRate for String {
    fn into_rate(self) -> Result<Rate, Error> {
        Rate::parse(&self)
    }
}

impl IntoRate for &String {
    fn into_rate(self) -> Result<Rate, Error> {
        Rate::parse(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reduced_terms_are_exact() {
        assert_eq!(Rate::per_minute(20).reduced_terms(), (1, 3_000_000));
        assert_eq!(Rate::per_minute(999_983).reduced_terms(), (999_983, 60_000_000));
    }

    #[test]
    fn bounds_are_named() {
        let error = Rate::new(0, Duration::from_secs(1)).unwrap_err().to_string();
        assert!(error.contains('0') || error.contains("zero"), "{error}");
        let error = Rate::new(1, Duration::from_nanos(1500)).unwrap_err().to_string();
        assert!(error.contains("1.5µs"), "{error}");
        assert!(Rate::per_second(0).check().is_err());
        assert!(Rate::UNLIMITED.check().is_ok());
    }

    #[test]
    fn errors_are_short_however_long_the_text() {
        let error = Rate::parse(&"9".repeat(1 << 20)).unwrap_err().to_string();
        assert!(error.starts_with("rate \"999") && error.len() < 300, "{} bytes", error.len());
    }

    #[test]
    fn unlimited_round_trips() {
        assert_eq!("unlimited".parse::<Rate>().unwrap(), Rate::UNLIMITED);
        assert_eq!(Rate::UNLIMITED.to_string(), "unlimited");
    }
}
