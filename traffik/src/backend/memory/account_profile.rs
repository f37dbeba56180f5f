//! [`AccountProfile`]: what an account's level means for its key, read off one floating-point number.
//!
//! How long a key is kept grows with what is used, and so does its nearness to refusal. Of both, only some leading
//! bits and their position are stored, which is just what a float has.

use super::eviction_rank::RankScale;
use super::expiry::{self, LONGEST, RAISED};
use super::packed_state::PackedState;
use crate::strategy::Account;

/// An account, with what its keys' codes are derived from, computed once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountProfile {
    pub(crate) account: Account,
    /// Ticks for which an unused key is kept, plus [`RAISED`].
    base: f64,
    /// Ticks that each used unit adds.
    slope: f64,
    scale: RankScale,
}

/// More than a float's rounding error can be, in ticks.
const SLACK: f64 = 1.0 / 256.0;

impl AccountProfile {
    /// Creates the profile of an account, if all that can be used of it fits where the store keeps it.
    pub(crate) fn new(account: &Account) -> Option<Self> {
        let (total, longest) = (account.total(), account.keep_for(account.total()));
        // Well below the longest, because of the slack.
        if !PackedState::fits(0, total) || longest >= LONGEST / 2 {
            return None;
        }
        let [base, slope] = account.keep_for_line().map(expiry::ticks);
        Some(Self { account: *account, base: base + RAISED + SLACK, slope, scale: RankScale::of(total) })
    }

    /// Returns how long a key with this usage is kept, as a code, and how near to refusal it is. The usage is at
    /// most the account's total.
    #[inline(always)]
    pub(super) fn code_and_rank(&self, used: u64, is_exhausted: bool) -> (u8, u8) {
        // Exact: below 2^44, like any total that fits. Signed, because that conversion is a single step.
        let used = used as i64 as f64;
        (expiry::encode_ticks(used * self.slope + self.base), self.scale.rank_of_float(used, is_exhausted))
    }
}

#[cfg(test)]
mod tests {
    use super::super::expiry::decode;
    use super::super::packed_state::REFUSED;
    use super::*;
    use crate::rate::Rate;
    use crate::strategy::{FixedWindow, Gcra, Strategy, TokenBucket};
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// No key is dropped early, or kept for longer than the code of its time plus a second.
        #[test]
        fn it_is_the_code_of_how_long_the_account_matters(
            limit in prop_oneof![1..10_u64, 1..1_000_000_u64],
            period in 1..u64::MAX,
            shift in 14..64_u32,
            burst in prop_oneof![1..10_u64, 1..10_000_u64],
            part in 0.0..=1.0,
        ) {
            let Ok(rate) = Rate::new(limit, Duration::from_micros((period >> shift).max(1))) else { return Ok(()) };
            let strategies: [&dyn Strategy; 3] =
                [&FixedWindow::new(), &Gcra::new().burst(burst), &TokenBucket::new().burst(burst).debt(3)];
            for strategy in strategies {
                let Some(account) = Account::of(strategy.twin(), &rate) else { continue };
                let Some(profile) = AccountProfile::new(&account) else { continue };
                for used in [0, 1, (account.total() as f64 * part) as u64, account.total()] {
                    let used = used.min(account.total());
                    let (kept, (code, rank)) = (account.keep_for(used), profile.code_and_rank(used, false));
                    let wanted = expiry::encode(kept);
                    prop_assert!(decode(code) >= kept, "{kept} of {strategy:?} is kept for {}", decode(code));
                    prop_assert!(code == wanted || code == expiry::encode(kept + (1 << 14)), "{code}, not {wanted}");
                    prop_assert_eq!(rank, RankScale::of(account.total()).rank(used, false));
                    prop_assert_eq!(profile.code_and_rank(used, true).1, REFUSED - 1);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_has_none() {
        let account = |rate: Rate, burst| Account::of(Gcra::new().burst(burst).twin(), &rate).unwrap();
        assert!(AccountProfile::new(&account(Rate::per_second(1), 1_000_000)).is_some());
        // 2^44 and more to count; more than 34 years until it has leaked.
        assert!(AccountProfile::new(&account(Rate::per_second(1), 100_000_000)).is_none());
        assert!(AccountProfile::new(&account(Rate::per_day(1), 20_000)).is_none());
    }
}
