//! Products beyond 64 bits.

/// `floor(a · b / c)`, and whether there was a remainder. A quotient beyond 64 bits saturates.
#[inline]
pub(super) fn muldiv(a: u64, b: u64, c: u64) -> (u64, bool) {
    match a.checked_mul(b) {
        Some(product) => (product / c, !product.is_multiple_of(c)),
        None => wide(a, b, c),
    }
}

#[cold]
fn wide(a: u64, b: u64, c: u64) -> (u64, bool) {
    let (product, c) = (u128::from(a) * u128::from(b), u128::from(c));
    (u64::try_from(product / c).unwrap_or(u64::MAX), !product.is_multiple_of(c))
}

/// `ceil(a · b / c)`.
#[inline]
pub(super) fn muldiv_up(a: u64, b: u64, c: u64) -> u64 {
    let (quotient, rest) = muldiv(a, b, c);
    quotient.saturating_add(u64::from(rest))
}

/// This many hundredths of `units`, rounded down.
#[inline]
pub(super) fn percent(units: u64, hundredths: u64) -> u64 {
    muldiv(units, hundredths, 100).0
}
