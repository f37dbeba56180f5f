//! Measures what each strategy stores, how often it calls Redis and what it lets through, for the guide's
//! table. With `TRAFFIK_WRITE=1` the table is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use traffik::strategy::{
    Adaptive, Ask, CostAdaptive, FixedWindow, Gcra, LeakyBucket, LeakyQueue, PriorityReserve, Rollover,
    SlidingLog, SlidingWindow, State, Strategy, Tiered, TimeOfDay, TokenBucket, Verdict,
};
use traffik::test_kit::ManualClock;
use traffik::{Identity, MemoryBackend, Priority, Rate, SharedBackend, Throttle};
use traffik_tests::RedisServer;

use crate::support::{manual, throttle};

const LIMIT: usize = 100;
const RATE: &str = "100/hour";
/// A hundredth of the period.
const STEP: Duration = Duration::from_secs(36);
const STEPS: usize = 100;

/// The strategies of the guide's plots, with the same settings.
fn all() -> Vec<(&'static str, Arc<dyn Strategy>)> {
    let shares = PriorityReserve::new().share(Priority::Low, 40).share(Priority::Normal, 30);
    vec![
        ("`FixedWindow`", Arc::new(FixedWindow::new())),
        ("`SlidingWindow`", Arc::new(SlidingWindow::new())),
        ("`SlidingLog`", Arc::new(SlidingLog::new())),
        ("`TokenBucket`", Arc::new(TokenBucket::new())),
        ("`LeakyBucket`", Arc::new(LeakyBucket::new())),
        ("`LeakyQueue`", Arc::new(LeakyQueue::new())),
        ("`Gcra`, burst 3", Arc::new(Gcra::new().burst(3))),
        ("`Tiered`", Arc::new(Tiered::new().tier("premium", 2))),
        ("`PriorityReserve`", Arc::new(shares)),
        ("`Rollover`", Arc::new(Rollover::new())),
        ("`TimeOfDay`", Arc::new(TimeOfDay::new().hours(12, 24, 50))),
        ("`Adaptive`", Arc::new(Adaptive::new())),
        ("`CostAdaptive`", Arc::new(CostAdaptive::new())),
    ]
}

/// A strategy that behaves like another one and records the longest state it leaves behind.
#[derive(Debug)]
struct Weighed {
    inner: Arc<dyn Strategy>,
    most: Arc<AtomicUsize>,
}

impl Strategy for Weighed {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        self.inner.validate(rate)
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        self.inner.capacity(rate)
    }

    fn tag(&self, rate: &Rate) -> String {
        self.inner.tag(rate)
    }

    fn staggered(&self) -> bool {
        self.inner.staggered()
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let verdict = self.inner.step(state, ask);
        let size = match state {
            State::Empty => 0,
            State::Words(words) => size_of_val(words),
            State::Bytes(bytes) => bytes.len(),
        };
        self.most.fetch_max(size, Ordering::Relaxed);
        verdict
    }
}

/// One client of the highest priority under one strategy, with a manual clock.
struct Trial {
    clock: ManualClock,
    throttle: Throttle,
}

impl Trial {
    fn new(strategy: Arc<dyn Strategy>, backend: impl Into<SharedBackend>, clock: ManualClock) -> Self {
        let throttle = throttle("table", RATE).strategy(strategy).backend(backend.into()).build().unwrap();
        Self { clock, throttle }
    }

    fn in_memory(strategy: Arc<dyn Strategy>) -> Self {
        let clock = ManualClock::new();
        Self::new(strategy, MemoryBackend::builder().clock(clock.clone()).build(), clock)
    }

    async fn hit(&self) -> bool {
        let client = Identity::key("ann").priority(Priority::Critical);
        self.throttle.hit(client).await.unwrap().is_allowed()
    }

    /// Hits as often as allowed, a microsecond apart, and then once per step for three
    /// periods. Calls `look` after each hit.
    async fn fill(&self, mut look: impl FnMut()) {
        while self.hit().await {
            look();
            self.clock.advance(Duration::from_micros(1));
        }
        for _ in 0..3 * STEPS {
            self.clock.advance(STEP);
            self.hit().await;
            look();
        }
    }

    /// Hits as often as allowed at every step for three periods, starting at step `phase` of a period.
    /// Returns the largest number of hits allowed within any one period.
    async fn greedy(&self, phase: usize) -> usize {
        self.clock.advance(STEP * u32::try_from(phase).unwrap());
        let mut passed = Vec::new();
        for _ in 0..=3 * STEPS {
            let mut count = 0;
            while self.hit().await {
                count += 1;
            }
            passed.push(count);
            self.clock.advance(STEP);
        }
        passed.windows(STEPS).map(|period| period.iter().sum()).max().unwrap()
    }
}

async fn state_bytes(strategy: &Arc<dyn Strategy>) -> usize {
    let most = Arc::<AtomicUsize>::default();
    let weighed = Weighed { inner: strategy.clone(), most: most.clone() };
    Trial::in_memory(Arc::new(weighed)).fill(|| ()).await;
    most.load(Ordering::Relaxed)
}

async fn worst_period(strategy: &Arc<dyn Strategy>) -> usize {
    let mut worst = 0;
    for phase in 0..STEPS {
        worst = worst.max(Trial::in_memory(strategy.clone()).greedy(phase).await);
    }
    worst
}

/// Returns the longest value on Redis during `fill`, and the number of scripts per hit.
async fn on_redis(server: &RedisServer, name: &str, strategy: &Arc<dyn Strategy>) -> (usize, u64) {
    const HITS: u64 = 20;
    server.command::<()>(&["FLUSHALL"]);
    let clock = ManualClock::new();
    let trial = Trial::new(strategy.clone(), manual(server, clock.clone()).await, clock);
    let (mut looking, mut longest, mut usage) = (server.connection(), 0, 0);
    trial
        .fill(|| {
            let Some(key) = redis::cmd("KEYS").arg("*").query::<Vec<String>>(&mut looking).unwrap().pop()
            else {
                return;
            };
            let length: usize = redis::cmd("STRLEN").arg(&key).query(&mut looking).unwrap();
            longest = longest.max(length);
            let bytes = redis::cmd("MEMORY").arg("USAGE").arg(&key).query(&mut looking).unwrap();
            usage = usage.max(bytes);
        })
        .await;
    // Redis allocates up to twice the length of an appended string, and allocators round up. 300 bytes hold
    // the key and Redis' own bookkeeping.
    assert!(usage > longest && usage <= 3 * longest + 300, "{name}: {usage} for {longest}");
    println!("{name}: a value of {longest} bytes, {usage} by MEMORY USAGE");

    // Use hits that pass, so that something is stored.
    trial.clock.advance(2 * STEP * u32::try_from(STEPS).unwrap());
    server.reset_stats();
    for _ in 0..HITS {
        trial.clock.advance(STEP);
        assert!(trial.hit().await, "{name}");
    }
    let scripts = server.decisions();
    assert_eq!(scripts % HITS, 0, "{name}: {scripts} scripts for {HITS} hits");
    (longest, scripts / HITS)
}

fn ratio(count: usize) -> String {
    format!("{}.{:02}", count / LIMIT, count % LIMIT)
}

#[tokio::test]
async fn the_guides_table_is_what_is_measured() {
    let server = RedisServer::start();
    let mut table = "| strategy | bytes of state | bytes of the value on Redis | scripts a hit on Redis \
                     | most within one period, in limits |\n|---|---|---|---|---|\n"
        .to_owned();
    for (name, strategy) in all() {
        let state = state_bytes(&strategy).await;
        let (length, scripts) = on_redis(&server, name, &strategy).await;
        let worst = ratio(worst_period(&strategy).await);
        table.push_str(&format!("| {name} | {state} | {length} | {scripts} | {worst} |\n"));
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../traffik/src/docs/strategy_table.md");
    if std::env::var("TRAFFIK_WRITE").is_ok_and(|value| value == "1") {
        std::fs::write(file, &table).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap();
    assert_eq!(committed, table, "the table is out of date: run this with TRAFFIK_WRITE=1 and commit it");
}
