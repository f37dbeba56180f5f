//! Measures how costs grow with the number of keys, under floods, and with the length of a log.

use std::hint::black_box;
use std::time::{Duration, Instant};

use traffik::strategy::{FixedWindow, Gcra, IntoStrategy, SlidingLog};
use traffik::test_kit::ManualClock;
use traffik::{MemoryBackend, Registry, Throttle};

use crate::identity::Identity;
use crate::measure::{Spread, on_threads, rounds};
use crate::memory::{Subject, governor, is_allowed, order, throttle};
use crate::report::{Report, Target, digits, time};

pub fn run(report: &mut Report) {
    bytes(report);
    expiring(report);
    reclaiming(report);
    logs(report);
    keys(report);
}

fn of(uid: &str, rate: &str, strategy: impl IntoStrategy, memory: &MemoryBackend) -> Throttle {
    let builder = Throttle::builder(uid).rate(rate).strategy(strategy).registry(&Registry::new());
    builder.backend(memory.clone()).build().expect("a bench set up wrongly should stop")
}

/// Measures bytes per live key under two strategies, at several points of the table's growth.
fn bytes(report: &mut Report) {
    let one = |name: &str, strategy: std::sync::Arc<dyn traffik::strategy::Strategy>| {
        let memory = MemoryBackend::builder().capacity(2_000_000).clock(ManualClock::new()).build();
        let throttle = of(name, "10/day", strategy, &memory);
        let mut each = Vec::new();
        for client in 0..1_500_000_u64 {
            let _ = is_allowed(throttle.hit(client));
            if client >= 100_000 && client % 20_000 == 0 {
                each.push(memory.bytes() as f64 / memory.len() as f64);
            }
        }
        Spread::of(each)
    };
    let gcra = one("gcra", Gcra::new().burst(10).into_strategy());
    report.worst(
        "bytes per live key, `Gcra`, the most from 100 000 to 1.5 million",
        gcra,
        " B",
        Target::AtMost(48.0),
    );
    let window = one("window", FixedWindow::new().into_strategy());
    report.worst("bytes per live key, `FixedWindow`, the same", window, " B", Target::AtMost(48.0));
}

/// Times each first hit of a new client.
fn newcomers(throttle: &Throttle, clients: u64, mut between: impl FnMut()) -> Latency {
    let mut latency = Latency::default();
    for client in 0..clients {
        between();
        let start = Instant::now();
        let _ = black_box(is_allowed(throttle.hit(client)));
        latency.add(start.elapsed());
    }
    latency
}

/// Inserts ten million keys, of which a million are alive at any time.
fn expiring(report: &mut Report) {
    let clock = ManualClock::new();
    let memory = MemoryBackend::builder().capacity(2_000_000).clock(clock.clone()).build();
    let throttle = of("expiring", "5/s", FixedWindow::new(), &memory);
    let latency = newcomers(&throttle, 10_000_000, || clock.advance(Duration::from_micros(1)));
    let p999 = latency.quantile(0.999) / 1000.0;
    report.figure("10 million keys inserted and expiring: p99.9 of a hit", p999, " µs", Target::AtMost(10.0));
}

/// Sends ten million keys, none of which expires, through a store with room for a hundred thousand.
fn reclaiming(report: &mut Report) {
    let memory = MemoryBackend::builder().capacity(100_000).clock(ManualClock::new()).build();
    let throttle = of("reclaiming", "2/hour", FixedWindow::new(), &memory);
    let latency = newcomers(&throttle, 10_000_000, || ());
    let p999 = latency.quantile(0.999) / 1000.0;
    report.figure("10 million keys through 100 000: p99.9 of a hit", p999, " µs", Target::AtMost(100.0));
}

/// Times hits on a full log, where each new entry displaces an old one.
fn logs(report: &mut Report) {
    let mut lines = vec![vec!["entries".into(), "a hit on a full log".into()]];
    for limit in [10_u64, 100, 1000, 10_000, 100_000] {
        let clock = ManualClock::new();
        let memory = MemoryBackend::builder().clock(clock.clone()).build();
        let throttle = of("log", &format!("{limit}/day"), SlidingLog::new(), &memory);
        let step = Duration::from_secs(86_400) / limit as u32;
        let hit = || {
            clock.advance(step);
            black_box(is_allowed(throttle.hit("one")))
        };
        (0..2 * limit).for_each(|_| {
            hit();
        });
        let mut all = true;
        let times = rounds(9, [Box::new(|| on_one(100_000, || all &= hit()))]);
        assert!(all, "every hit finds the room that one has left");
        let times = Spread::of(times.iter().map(|[time]| *time));
        if limit == 10_000 {
            let micros = times.median / 1000.0;
            report.figure("`SlidingLog`, 10 000 entries, full: a hit", micros, " µs", Target::AtMost(2.0));
        }
        lines.push(vec![limit.to_string(), time(times.median)]);
    }
    report.table("By the length of a log", lines);
}

fn on_one(n: usize, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..n).for_each(|_| work());
    start.elapsed().as_nanos() as f64 / n as f64
}

/// Times hits on a thousand to ten million keys.
fn keys(report: &mut Report) {
    let mut lines = vec![
        [
            "keys",
            "ours, 1 thread",
            "governor, 1 thread",
            "ratio",
            "ours, 2 threads",
            "governor, 2 threads",
            "ratio",
        ]
        .map(String::from)
        .to_vec(),
    ];
    let mut series = [vec![], vec![], vec![], vec![]];
    for keys in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
        let all: Vec<_> = (0..keys).map(String::of).collect();
        let ours = throttle(MemoryBackend::builder().capacity(2 * keys).build());
        let theirs = governor();
        all.iter().for_each(|key| {
            black_box(key.hit(&ours));
            black_box(theirs.check_key(key).is_ok());
        });
        let mut line = vec![keys.to_string()];
        for threads in [1, 2] {
            let part = keys / threads;
            let key = |thread: usize, i: usize| &all[thread * part + order(i, part)];
            let ours = || {
                on_threads(threads, 300_000, |thread, i| {
                    black_box(key(thread, i).hit(&ours));
                })
            };
            let theirs = || {
                on_threads(threads, 300_000, |thread, i| {
                    black_box(theirs.check_key(key(thread, i)).is_ok());
                })
            };
            let times = rounds(5, [Box::new(ours), Box::new(theirs)]);
            let [ours, theirs] = [0, 1].map(|side| Spread::of(times.iter().map(|round| round[side])).median);
            series[2 * (threads - 1)].push((keys as f64, ours));
            series[2 * (threads - 1) + 1].push((keys as f64, theirs));
            line.extend([time(ours), time(theirs), digits(ours / theirs)]);
        }
        lines.push(line);
    }
    report.table("By the number of keys", lines);
    let names = ["traffik, 1 thread", "governor, 1 thread", "traffik, 2 threads", "governor, 2 threads"];
    names.into_iter().zip(series).for_each(|(name, points)| report.series(name, points));
}

/// A histogram of latencies, in buckets of 3 %.
struct Latency {
    counts: Vec<u64>,
    all: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: vec![0; 1024], all: 0 }
    }
}

impl Latency {
    const STEP: f64 = 1.03;

    fn add(&mut self, took: Duration) {
        let bucket = (took.as_nanos().max(1) as f64).log(Self::STEP) as usize;
        let last = self.counts.len() - 1;
        self.counts[bucket.min(last)] += 1;
        self.all += 1;
    }

    /// Returns a quantile in nanoseconds, to within 3 %.
    fn quantile(&self, part: f64) -> f64 {
        let wanted = (self.all as f64 * part) as u64;
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen > wanted
        });
        Self::STEP.powi(bucket.unwrap_or(self.counts.len()) as i32 + 1)
    }
}
