//! [`MemoryBackend`]: counters in this process.
//!
//! One flat table of buckets, each a pair of cache lines with its own one-byte lock and room for six keys: a hit
//! takes a hash, one bucket and one step. Most states are twelve bytes (`packed_state.rs`); longer ones are boxed.
//! The table grows by one bucket at a time (linear hashing), drops expired keys as new ones arrive, and never holds
//! more keys than its capacity. There is no background thread, and no lock spans the table.

mod account_profile;
mod batch;
mod bucket;
mod counter;
mod eviction_rank;
mod expiry;
mod fingerprint;
mod growth;
mod load;
mod lock;
mod new_state;
mod nodes;
mod packed_state;
mod reclaim;
mod step;
mod sync;
mod table;
mod time;

use std::fmt;
use std::sync::Arc;

use super::{Backend, BackendError, BoxFuture, Hit, Op, Verdict, Verdicts};
use crate::clock::Clock;
use crate::strategy::{Account, AdmittedStep, CompactVerdict, State};
pub(crate) use account_profile::AccountProfile;
#[cfg(feature = "tower")]
pub(crate) use batch::FEW;
use new_state::NewState;
use step::InPlaceStep;
use table::Table;
use time::StoreClock;

// The speed rests on this layout.
const _: () = assert!(size_of::<bucket::Bucket>() == 128);

/// How long before its creation a store's epoch lies: half the range of its instants.
const FOUR_YEARS: u64 = 1 << 47;

/// The default capacity: one million keys.
pub const DEFAULT_CAPACITY: usize = 1_000_000;

/// The highest capacity: 2^36 where pointers have 64 bits. The table's directory is allocated for it up front.
const MOST: usize = usize::MAX >> ((usize::BITS - 32) * 7 / 8);

/// Counters in this process's memory.
///
/// This is a cheap handle: clones share the counters. The store holds at most
/// [`capacity`](MemoryBackendBuilder::capacity) keys. When it is full, expired keys are evicted first, then those
/// nearest to a full account. Clients that are being refused are evicted last, so that a flood of fresh keys frees
/// nobody; if those keys are refused as well, they displace each other.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), traffik::Error> {
/// use traffik::{MemoryBackend, Throttle};
///
/// let throttle = Throttle::builder("docs:memory").rate("2/min").backend(MemoryBackend::new()).build()?;
/// assert!(throttle.hit("ann").await?.is_allowed());
/// assert!(throttle.hit("ann").await?.is_allowed());
/// assert!(!throttle.hit("ann").await?.is_allowed());
/// assert!(throttle.hit("bob").await?.is_allowed());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MemoryBackend(Arc<Store>);

struct Store {
    table: Table,
    clock: StoreClock,
}

impl MemoryBackend {
    /// The name in logs and metrics.
    pub(crate) const NAME: &'static str = "memory";

    /// Creates an empty store of the default capacity.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, which sets capacity and clock.
    pub fn builder() -> MemoryBackendBuilder {
        MemoryBackendBuilder { capacity: DEFAULT_CAPACITY, clock: None }
    }

    /// Returns the number of keys held at present, including expired ones that have not been swept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.table.len()
    }

    /// Whether the store holds no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the most keys that this store holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.table.capacity()
    }

    /// Returns the bytes allocated for the table. States too long for the table are not included: the logs of
    /// [`SlidingLog`](crate::strategy::SlidingLog) and [`LeakyQueue`](crate::strategy::LeakyQueue), and amounts
    /// beyond 2^44.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.table.bytes()
    }

    /// Sweeps the whole table for expired keys, and returns how many were dropped. This is never needed, because the
    /// table sweeps itself as keys arrive. It serves a service that has gone quiet and wants the slots back.
    pub fn reclaim(&self) -> usize {
        self.0.table.sweep_all(self.0.clock.now())
    }

    /// Runs a future with this backend as its context; see
    /// [`SharedBackend::scope`](super::SharedBackend::scope).
    pub fn scope<F: Future>(&self, future: F) -> super::context::Scope<F> {
        super::SharedBackend::from(self.clone()).scope(future)
    }

    #[inline]
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Takes a hit on an account, given its key; returns `Err` with the current time if there is no account under
    /// that key yet.
    #[inline(always)]
    pub(crate) fn hit(&self, hit: &AccountHit<'_>) -> Result<CompactVerdict, u64> {
        // The key's cache lines are being fetched while the clock is read.
        let located = self.0.table.locate(hit.key);
        let now = self.0.clock.now();
        self.0.table.step_in_place(located, now, hit).ok_or(now)
    }

    /// The same for a key that did not exist at that time.
    #[cold]
    pub(crate) fn first_hit(&self, key: u64, now: u64, account: &Account, cost: u64) -> Verdict {
        let step = |state: &mut State| account.step(state, Op::Hit, now, cost, u64::MAX);
        self.0.table.decide_one(key, self.0.table.locate(key), Op::Hit, now, step)
    }

    /// Takes a few hits if all pass and all their keys exist; otherwise leaves all as they were. Returns whether it
    /// did.
    #[cfg(feature = "tower")]
    pub(crate) fn hit_few(&self, hits: &[Hit<'_>], verdicts: &mut [Verdict]) -> bool {
        self.0.table.step_few_in_place(self.0.clock.now(), hits, verdicts)
    }

    /// The same for accounts, whose number is known in advance.
    #[inline(always)]
    #[cfg(feature = "tower")]
    pub(crate) fn hit_each_account<const N: usize>(
        &self,
        hits: [AccountHit<'_>; N],
    ) -> Option<[CompactVerdict; N]> {
        let mut keys = [0; N];
        for at in 0..N {
            keys[at] = hits[at].key;
        }
        let located = self.0.table.locate_each(keys);
        let now = self.0.clock.now();
        self.0.table.step_each_in_place(located, now, hits)
    }

    /// Decides a single hit, and also returns when.
    pub(crate) fn decide_one(&self, op: Op, hit: &Hit<'_>) -> (u64, Verdict) {
        let located = self.0.table.locate(hit.hash());
        let now = self.0.clock.now();
        let step = |state: &mut State| hit.step(op, now, state);
        (now, self.0.table.decide_one(hit.hash(), located, op, now, step))
    }

    #[inline]
    pub(crate) fn decide_into(&self, op: Op, hits: &[Hit<'_>], verdicts: &mut Verdicts) {
        verdicts.each.clear();
        if let [hit] = hits {
            let (now, verdict) = self.decide_one(op, hit);
            verdicts.now = now;
            verdicts.each.push(verdict);
        } else {
            verdicts.now = self.0.clock.now();
            self.0.table.decide_batch(op, verdicts.now, hits, &mut verdicts.each);
        }
    }

    pub(crate) fn verdicts_now(&self, op: Op, hits: &[Hit<'_>]) -> Verdicts {
        let mut verdicts = Verdicts::default();
        self.decide_into(op, hits, &mut verdicts);
        verdicts
    }
}

/// A hit of this cost on an account, given its key.
#[derive(Clone, Copy)]
pub(crate) struct AccountHit<'a> {
    pub(crate) key: u64,
    pub(crate) profile: &'a AccountProfile,
    pub(crate) cost: u64,
}

// Not a closure, because closures are not always inlined.
impl InPlaceStep for AccountHit<'_> {
    type Outcome = CompactVerdict;

    #[inline(always)]
    fn tag(&self) -> u64 {
        self.key
    }

    #[inline(always)]
    fn apply(&self, now: u64, words: [u64; 2]) -> (CompactVerdict, Option<NewState>) {
        let Self { profile, cost, .. } = *self;
        match profile.account.hit(words, now, cost) {
            Ok(AdmittedStep { compact, words, is_exhausted }) => {
                let (code, rank) = profile.code_and_rank(compact.used(), is_exhausted);
                (compact, Some(NewState { words, code, rank }))
            }
            Err(compact) => (compact, None),
        }
    }

    fn expiry(&self, _: u64, _: CompactVerdict, [instant, used]: [u64; 2]) -> u64 {
        instant.saturating_add(self.profile.account.keep_for(used))
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

impl Backend for MemoryBackend {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        Box::pin(std::future::ready(Ok(self.verdicts_now(op, hits))))
    }

    fn decide_now(&self, op: Op, hits: &[Hit<'_>]) -> Option<Result<Verdicts, BackendError>> {
        Some(Ok(self.verdicts_now(op, hits)))
    }

    fn is_immediate(&self) -> bool {
        true
    }

    fn deadline(&self) -> Option<std::time::Duration> {
        None
    }
}

/// Builds a [`MemoryBackend`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct MemoryBackendBuilder {
    capacity: usize,
    clock: Option<Arc<dyn Clock>>,
}

impl MemoryBackendBuilder {
    /// Sets the most keys to hold: at least 1, and at most 2^36. No machine has room for that many, so `usize::MAX`
    /// means no bound at all. There is a key for each client of each throttle that counts here. A live key takes about
    /// 32 bytes, or up to 40 in a full store under a flood of fresh keys.
    ///
    /// An empty store of the default capacity takes about 50 kB; one of 10 000 keys, as may be enough for a single tenant
    /// out of many, takes 6 kB.
    pub fn capacity(mut self, keys: usize) -> Self {
        self.capacity = keys.clamp(1, MOST);
        self
    }

    /// Sets the clock. The default is [`SystemClock`](crate::SystemClock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Builds the store, empty.
    #[must_use]
    pub fn build(self) -> MemoryBackend {
        let clock = self.clock.map_or_else(StoreClock::system, StoreClock::Injected);
        let table = Table::new(self.capacity, clock.now().saturating_sub(FOUR_YEARS));
        MemoryBackend(Arc::new(Store { table, clock }))
    }
}

#[cfg(test)]
mod tests {
    use super::nodes::Nodes;
    use super::*;
    use crate::policy::Policy;
    use crate::rate::Rate;
    use crate::strategy::*;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        /// A batch is all or nothing, however many keys it has and whichever of them share a bucket.
        #[test]
        fn a_few_are_taken_as_one(
            batches in proptest::collection::vec((1..32_u32, 1..3_u64, 0..300_000_u64), 1..60),
        ) {
            const START: u64 = 1_700_000_000_000_000;
            let table = Table::new(1_000, START);
            // The first three share a bucket; the others are in two more.
            let keys = [1 << 40, 2 << 40, 3 << 40, 1 << 62, 1 << 63];
            let policies: Vec<Policy> = (0..5_u64)
                .map(|at| {
                    let strategy: Arc<dyn Strategy> =
                        if at % 2 == 0 { Arc::new(FixedWindow::new()) } else { Arc::new(Gcra::new()) };
                    Policy::new("a:few", Rate::per_second(3 + at), strategy).unwrap()
                })
                .collect();
            let mut states = vec![State::Empty; 5];
            let mut now = START;
            for (chosen, cost, later) in batches {
                now += later;
                let places: Vec<usize> = (0..5).filter(|at| chosen >> at & 1 == 1).collect();
                let who = crate::identity::Who::of(crate::identity::KindRef::Anonymous);
                let hits: Vec<Hit<'_>> =
                    places.iter().map(|&at| Hit::keyed(&policies[at], who, keys[at], None, cost)).collect();
                let mut each = smallvec::SmallVec::new();
                table.decide_batch(Op::Hit, now, &hits, &mut each);

                let mut after = states.clone();
                let wanted: Vec<Verdict> = places
                    .iter()
                    .map(|&at| {
                        let ask = Ask::new(Op::Hit, now, policies[at].rate(), cost);
                        policies[at].strategy().step(&mut after[at], &ask)
                    })
                    .collect();
                let all = wanted.iter().all(|verdict| verdict.admitted);
                for (verdict, wanted) in each.iter().zip(&wanted) {
                    prop_assert_eq!(verdict.admitted, wanted.admitted);
                    prop_assert!(!all || verdict == wanted, "{:?} is not {:?}", verdict, wanted);
                }
                prop_assert_eq!(each.len(), wanted.len());
                if all {
                    states = after;
                }
            }
        }
    }

    proptest! {
        /// Hits whose number is known in advance are taken as a list of them is, whichever of their keys share a bucket.
        #[test]
        fn each_of_a_few_is_taken_as_in_a_list(
            places in proptest::collection::vec(0..6_u64, 5),
            hits in proptest::collection::vec((1..3_u64, 0..300_000_u64), 1..30),
        ) {
            const START: u64 = 1_700_000_000_000_000;
            let [listed, each] = [(); 2].map(|()| Table::new(1_000, START));
            let profiles = [2, 3, 4, 5, 6].map(|limit| {
                let policy = Policy::new("a:few", Rate::per_second(limit), Arc::new(Gcra::new().burst(4))).unwrap();
                AccountProfile::new(policy.account().unwrap()).unwrap()
            });
            let keys: [u64; 5] = std::array::from_fn(|at| places[at] << 61 | (at as u64 + 1) << 40);
            for table in [&listed, &each] {
                for (&key, AccountProfile { account, .. }) in keys.iter().zip(&profiles) {
                    let step = |state: &mut State| account.step(state, Op::Hit, START, 1, u64::MAX);
                    assert!(table.decide_one(key, table.locate(key), Op::Hit, START, step).admitted);
                }
            }
            let mut now = START;
            for (cost, later) in hits {
                now += later;
                let hits: [_; 5] =
                    std::array::from_fn(|at| AccountHit { key: keys[at], profile: &profiles[at], cost });
                let mut wanted = [CompactVerdict::default(); 5];
                let passed = listed.step_few_in_place(now, &hits, &mut wanted);
                let taken = each.step_each_in_place(each.locate_each(keys), now, hits);
                prop_assert_eq!(taken.is_some(), passed);
                for ((profile, taken), wanted) in profiles.iter().zip(taken.iter().flatten()).zip(&wanted) {
                    let [taken, wanted] = [taken, wanted].map(|compact| profile.account.full_verdict(compact));
                    prop_assert_eq!(taken, wanted);
                }
            }
        }
    }

    /// The keys of a batch are inserted under the locks of all of them, so there may be none to evict. If keys expire
    /// that were under those locks, there is nothing left to evict afterwards.
    #[test]
    fn expired_keys_make_up_for_a_surplus() {
        const START: u64 = 1_700_006_400_000_000;
        let table = Table::new(6, START);
        let who = crate::identity::Who::of(crate::identity::KindRef::Anonymous);
        let [short, long] = [Rate::per_second(5), Rate::per_day(5)]
            .map(|rate| Policy::new("a:surplus", rate, Arc::new(FixedWindow::new())).unwrap());
        let hit = |now, policy, keys: &[u64]| {
            let hits: Vec<Hit<'_>> = keys.iter().map(|&key| Hit::keyed(policy, who, key, None, 1)).collect();
            let mut each = smallvec::SmallVec::new();
            table.decide_batch(Op::Hit, now, &hits, &mut each);
            each.iter().map(|verdict| verdict.used).collect::<Vec<_>>()
        };
        // A key's bucket is its highest byte.
        let [a, b, c] = [1 << 56, 2 << 56, 3 << 56];
        assert_eq!(hit(START, &long, &[a]), [1]);
        for key in 1..6 {
            assert_eq!(hit(START, &short, &[a | key]), [1]);
        }
        let now = START + 10_000_000;
        assert_eq!(hit(now, &long, &[a, b, c]), [2, 1, 1]);
        assert_eq!(table.len(), 3, "the keys that have not expired");
        assert_eq!(hit(now, &long, &[a, b, c]), [3, 2, 2]);
    }

    #[test]
    fn an_empty_store_takes_as_much_as_its_capacity_says() {
        let bytes = |keys| MemoryBackend::builder().capacity(keys).build().bytes();
        // The directory of segments has pointers.
        let (default, tenant) = if cfg!(target_pointer_width = "64") {
            (50_000..60_000, 5_000..6_000)
        } else {
            (40_000..50_000, 3_000..4_000)
        };
        assert!(default.contains(&bytes(DEFAULT_CAPACITY)), "{}", bytes(DEFAULT_CAPACITY));
        assert!(tenant.contains(&bytes(10_000)), "{}", bytes(10_000));
    }

    /// The states that most requests use need no allocation of their own.
    #[test]
    fn states_of_common_limits_are_not_boxed() {
        const NOW: u64 = 1_700_000_000_000_000;
        let common = bucket::Common { epoch: NOW - FOUR_YEARS, nodes: Nodes::new() };
        let strategies: [&dyn Strategy; 8] = [
            &FixedWindow::new().staggered(),
            &SlidingWindow::new(),
            &TokenBucket::new(),
            &LeakyBucket::new(),
            &Gcra::new().burst(1_000),
            &Rollover::new(),
            &TimeOfDay::new(),
            &Adaptive::new(),
        ];
        for (strategy, rate) in strategies.iter().flat_map(|strategy| {
            let rates = [Rate::per_second(1_000_000), Rate::per_hour(1_000), Rate::per_day(1_000_000)];
            rates.map(move |rate| (*strategy, rate))
        }) {
            let mut state = State::Empty;
            let mut verdict = Verdict::default();
            for _ in 0..1_000 {
                verdict = strategy.step(&mut state, &Ask::new(Op::Hit, NOW, &rate, 1));
            }
            let entry = common.entry(7, state, NOW + verdict.keep_for, 0);
            assert!(!entry.is_boxed(), "{strategy:?} at {rate}");
        }
    }
}
