//! [`Divisor`]: division by a constant, as one multiplication and a correction.

/// A number to divide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Divisor {
    /// Never 0.
    number: u64,
    /// 2^64 divided by the number, rounded down; 2^64 - 1 for 1.
    reciprocal: u64,
}

impl Divisor {
    /// A divisor of 0, which no rate has, becomes 1: any result rather than a panic.
    pub(super) fn new(number: u64) -> Self {
        let number = number.max(1);
        let reciprocal = (1_u128 << 64) / u128::from(number);
        Self { number, reciprocal: u64::try_from(reciprocal).unwrap_or(u64::MAX) }
    }

    #[inline(always)]
    pub(super) fn get(self) -> u64 {
        self.number
    }

    /// The quotient, or one less: the reciprocal is at most 1 too small, so the product is less than 2^64 too
    /// small.
    #[inline(always)]
    fn estimate(self, dividend: u64) -> u64 {
        ((u128::from(dividend) * u128::from(self.reciprocal)) >> 64) as u64
    }

    /// The quotient, rounded down.
    #[inline(always)]
    pub(super) fn floor(self, dividend: u64) -> u64 {
        let estimate = self.estimate(dividend);
        // Cannot wrap: `estimate` is at most the quotient.
        estimate + u64::from(dividend.wrapping_sub(estimate.wrapping_mul(self.number)) >= self.number)
    }

    /// The quotient, rounded up.
    #[inline(always)]
    pub(super) fn ceil(self, dividend: u64) -> u64 {
        let floor = self.floor(dividend);
        floor + u64::from(floor.wrapping_mul(self.number) != dividend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_divides_as_division_does(dividend: u64, number: u64, shifts in (0..64_u32, 0..64_u32)) {
            let number = (number >> shifts.1).max(1);
            let divisor = Divisor::new(number);
            for dividend in [dividend >> shifts.0, (dividend >> shifts.0) / number * number] {
                prop_assert_eq!(divisor.floor(dividend), dividend / number);
                prop_assert_eq!(divisor.ceil(dividend), dividend.div_ceil(number));
                let estimate = divisor.estimate(dividend);
                prop_assert!(estimate <= dividend / number && dividend / number <= estimate + 1);
            }
        }
    }

    #[test]
    fn the_ends_of_what_is_counted() {
        for number in [1, 2, 3, 1_000_000, u64::MAX / 2, u64::MAX] {
            for dividend in [0, 1, number - 1, number, u64::MAX - 1, u64::MAX] {
                let divisor = Divisor::new(number);
                assert_eq!(
                    (divisor.floor(dividend), divisor.ceil(dividend)),
                    (dividend / number, dividend.div_ceil(number))
                );
            }
        }
        assert_eq!(Divisor::new(0), Divisor::new(1));
    }
}
