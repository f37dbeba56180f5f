//! [`Gcra`]: evenly spaced hits, with room for a small burst.

use super::{Ask, Bucket, State, Strategy, Twin, Verdict};
use crate::rate::Rate;

/// The generic cell rate algorithm: with `T = P / L`, a hit of cost `c` passes if `now ≥ TAT + c·T − b·T`,
/// and advances the theoretical arrival time `TAT` (never earlier than now) by `c·T`.
///
/// State, 16 bytes a client: one instant and the distance of `TAT` from it, as an exact fraction. Round
/// trips: 0 in memory, 1 on Redis. Source: ITU-T I.371, annex A.
///
/// **When:** to pace clients evenly. **When not:** clients send several requests at once: the default burst
/// is 1, so `"20/min"` means one every three seconds.
///
/// A changed rate or burst starts afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gcra {
    burst: u64,
}

impl Default for Gcra {
    fn default() -> Self {
        Self::new()
    }
}

impl Gcra {
    /// Creates the strategy with a burst of 1: strictly one unit per `P / L`.
    #[must_use]
    pub const fn new() -> Self {
        Self { burst: 1 }
    }

    /// Sets how many units may come at once.
    #[must_use]
    pub const fn burst(mut self, units: u64) -> Self {
        self.burst = units;
        self
    }

    fn bucket(self) -> Bucket {
        Bucket { capacity: self.burst, debt: 0 }
    }
}

impl Strategy for Gcra {
    fn name(&self) -> &str {
        "gcra"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        self.bucket().validate(rate)
    }

    fn capacity(&self, _: &Rate) -> u64 {
        self.burst
    }

    fn tag(&self, rate: &Rate) -> String {
        self.bucket().chosen_tag(self.name(), rate)
    }

    #[inline]
    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        self.bucket().step(state, ask)
    }

    fn twin(&self) -> Option<Twin> {
        Some(Twin::Bucket { burst: Some(self.burst), debt: 0 })
    }
}
