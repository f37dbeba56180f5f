//! Disagreeing clocks: how far a state may be ahead of the present.

/// How far ahead of the clock a state is still believed, unless its own span is longer: one day.
///
/// Servers' clocks differ by seconds, operators' mistakes by hours. Time stands still for such a client
/// until the clock has caught up, so that nobody gains from a clock that steps back. A state further ahead
/// was never written by this library, and is ignored.
const FAR: u64 = 86_400_000_000;

/// Whether a state written at `last` may be genuine at `now`. `span` is the longest time that the strategy
/// remembers.
#[inline]
pub(super) fn believable(last: u64, now: u64, span: impl FnOnce() -> u64) -> bool {
    last <= now || last - now <= FAR || last - now <= span()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_or_its_own_span_is_believed_and_no_more() {
        assert!(believable(FAR, 0, || 0) && !believable(FAR + 1, 0, || FAR));
        assert!(believable(FAR + 7, 0, || FAR + 7) && !believable(FAR + 8, 0, || FAR + 7));
        assert!(believable(7, u64::MAX, || 0));
    }
}
