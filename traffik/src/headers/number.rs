//! Numbers as header values.

use bytes::Bytes;
use http::HeaderValue;

/// The largest integer of a structured field (RFC 9651 §3.3.1).
pub(super) const MOST: u64 = 999_999_999_999_999;

/// Numbers below this are precomputed with four digits each: limits are seldom larger, and a response
/// carries several numbers.
const READY: usize = 10_000;

static DIGITS: [[u8; 4]; READY] = {
    let mut digits = [[0; 4]; READY];
    let mut number = 0;
    while number < READY {
        digits[number] = [
            b'0' + (number / 1000) as u8,
            b'0' + (number / 100 % 10) as u8,
            b'0' + (number / 10 % 10) as u8,
            b'0' + (number % 10) as u8,
        ];
        number += 1;
    }
    digits
};

/// The number's digits, if they are precomputed.
#[inline]
pub(super) fn ready(number: u64) -> Option<&'static [u8]> {
    let digits = DIGITS.get(usize::try_from(number).ok()?)?;
    let zeros = usize::from(number < 10) + usize::from(number < 100) + usize::from(number < 1000);
    digits.get(zeros..)
}

/// The number as a header value, capped at the largest that a structured field can hold.
pub(super) fn value(number: u64) -> HeaderValue {
    let digits = ready(number).map(|digits| HeaderValue::from_maybe_shared(Bytes::from_static(digits)));
    match digits {
        Some(Ok(value)) => value,
        _ => HeaderValue::from(number.min(MOST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_as_they_are() {
        assert!((0..READY as u64).all(|number| ready(number).is_some()));
        for number in (0..20_000).chain([MOST - 1, MOST, MOST + 1, u64::MAX]) {
            assert_eq!(value(number), number.min(MOST).to_string());
        }
    }
}
