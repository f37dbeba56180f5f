//! Clocks that disagree: how far a state may be ahead of the present.

/// How far ahead of the clock a state is believed, where its own span is not longer yet: one day.
///
/// Servers differ by seconds and operators' mistakes by hours. Such a client's time stands still
/// until the clock has caught up, so that a step back gains nobody anything. What lies further
/// ahead was never written by this library, and counts as if it were not there.
const FAR: u64 = 86_400_000_000;

/// Whether a state written at `last` may be genuine at `now`. `span` is how long the strategy
/// remembers at most.
#[inline]
pub(super) fn believable(last: u64, now: u64, span: impl FnOnce() -> u64) -> bool {
    last <= now || last - now <= FAR || last - now <= span()
}
