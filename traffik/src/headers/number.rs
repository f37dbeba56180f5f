//! Numbers as header values.

use http::HeaderValue;

use super::member::MOST;

/// Numbers below this stand ready, four digits each: limits are seldom larger, and an answer carries
/// several.
const READY: usize = 10_000;

static DIGITS: &str = {
    static BYTES: [u8; 4 * READY] = {
        let mut digits = [0; 4 * READY];
        let mut at = 0;
        while at < digits.len() {
            let number = at / 4;
            digits[at] = b'0' + (number / 1000) as u8;
            digits[at + 1] = b'0' + (number / 100 % 10) as u8;
            digits[at + 2] = b'0' + (number / 10 % 10) as u8;
            digits[at + 3] = b'0' + (number % 10) as u8;
            at += 4;
        }
        digits
    };
    match std::str::from_utf8(&BYTES) {
        Ok(digits) => digits,
        // Digits are UTF-8; a test finds them all here.
        Err(_) => "",
    }
};

/// The number's digits, where they stand ready.
#[inline]
pub(super) fn ready(number: u64) -> Option<&'static str> {
    let zeros = match number {
        0..10 => 3,
        10..100 => 2,
        100..1000 => 1,
        1000..10_000 => 0,
        _ => return None,
    };
    let start = 4 * number as usize;
    DIGITS.get(start + zeros..start + 4)
}

/// The number as a header's value, or the largest that a structured field can hold.
pub(super) fn value(number: u64) -> HeaderValue {
    match ready(number) {
        Some(digits) => HeaderValue::from_static(digits),
        None => HeaderValue::from(number.min(MOST)),
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
