//! A million hits later, the strategies are not off by a microsecond.

use super::*;
use crate::strategy::*;

/// Hits as soon as allowed, and reports when each hit was admitted, relative to the first.
fn hammer(strategy: &dyn Strategy, rate: &Rate, cost: u64, hits: u64, mut admitted: impl FnMut(u64, u64)) {
    let (mut state, mut now) = (State::Empty, START);
    for number in 0..hits {
        loop {
            let verdict = strategy.step(&mut state, &ask(Op::Hit, now, rate, cost, who(0)));
            if verdict.admitted {
                break;
            }
            now += verdict.wait;
        }
        // What is passed to Lua must stay exact there. Long logs are covered by other tests.
        if let State::Bytes(bytes) = &state
            && strategy.twin().is_some()
            && bytes.len() < 500
        {
            let words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
            assert!(words.max() < Some(EXACT), "hit {number}: {state:?}");
        }
        admitted(number, now - START);
    }
}

/// Returns the first microsecond at which `used` units have drained at a rate of `L / P`.
fn drained(rate: &Rate, used: u64) -> u64 {
    (u128::from(used) * u128::from(rate.period_micros())).div_ceil(rate.limit().into()) as u64
}

#[test]
fn buckets_are_on_time_after_a_million_hits() {
    let steady: [(&dyn Strategy, Rate, u64); 7] = [
        (&TokenBucket::new().burst(50), rate(999_983, MINUTE), 50),
        (&TokenBucket::new().burst(1).debt(2), rate(7, 11), 3),
        (&LeakyBucket::new(), rate(20, 7_919), 20),
        (&Gcra::new().burst(2), rate(999_983, MINUTE), 2),
        (&Gcra::new().burst(3), rate(1_000_000_000, 366 * DAY), 3),
        (&LeakyQueue::new(), rate(20, 7_919), 20),
        // Hits of normal cost do not slow it down.
        (&CostAdaptive::new(), rate(20, 7_919), 20),
    ];
    for (strategy, rate, capacity) in steady {
        hammer(strategy, &rate, 1, 1_000_000, |number, at| {
            let due = drained(&rate, (number + 1).saturating_sub(capacity));
            assert_eq!(at, due, "hit {number} of {strategy:?} at {rate}");
        });
    }
}

#[test]
fn a_queue_is_on_time_when_its_sums_have_wrapped() {
    let rate = rate((1 << 52) - 1, DAY);
    let cost = rate.limit() / 3;
    hammer(&LeakyQueue::new(), &rate, cost, 100_000, |number, at| {
        let due = drained(&rate, cost) as u128;
        let exact = u128::from(number.saturating_sub(2)) * u128::from(cost) * u128::from(DAY);
        assert_eq!(u128::from(at), exact.div_ceil(rate.limit().into()), "hit {number}, one takes {due}");
    });
}

#[test]
fn windows_admit_no_more_after_a_million_hits() {
    let rate = rate(20, 7_919);
    let mut times = Vec::new();
    hammer(&SlidingLog::new(), &rate, 1, 1_000_000, |_, at| times.push(at));
    assert!(times.iter().zip(&times[20..]).all(|(before, after)| after - before >= 7_919));
    assert_eq!(times.last(), Some(&(7_919 * (1_000_000 / 20 - 1))));

    let mut per_window = std::collections::BTreeMap::<u64, u64>::new();
    hammer(&SlidingWindow::new(), &rate, 1, 1_000_000, |_, at| {
        *per_window.entry((START + at) / 7_919).or_default() += 1
    });
    assert!(per_window.values().all(|hits| *hits <= 20));
    // A full window fades out while the next one fills up.
    let middle = per_window.len() as u64 - 2;
    let sum: u64 = per_window.values().skip(1).take(middle as usize).sum();
    assert!(sum <= 20 * middle && sum >= 19 * middle, "{sum} in {middle} windows");
}

/// Strategies that count per calendar window: each window is as full as the one a million hits earlier.
#[test]
fn calendar_windows_are_full_after_a_million_hits() {
    const PERIOD: u64 = 7_919;
    let rate = rate(20, PERIOD);
    let shift = PHASE % PERIOD;
    // What each window holds, except for the first.
    let windows: [(&dyn Strategy, u64, u64); 7] = [
        (&FixedWindow::new(), 0, 20),
        (&FixedWindow::new().staggered(), shift, 20),
        (&Tiered::new().others(3), 0, 60),
        (&PriorityReserve::new(), 0, 10),
        (&TimeOfDay::new().hours(0, 24, 150), 0, 30),
        // A full window leaves nothing to carry over, and no reason to raise the limit.
        (&Rollover::new(), 0, 20),
        (&Adaptive::new().floor(45), 0, 9),
    ];
    for (strategy, shift, holds) in windows {
        let mut per_window = std::collections::BTreeMap::<u64, u64>::new();
        hammer(strategy, &rate, 1, 1_000_000, |_, at| {
            *per_window.entry((START + at + PERIOD - shift) / PERIOD).or_default() += 1
        });
        let (first, last) = ((START + PERIOD - shift) / PERIOD, *per_window.keys().last().unwrap());
        // The first windows of an adaptive limit are on its way down.
        let settled = per_window.range(first + 2..last);
        assert!(settled.clone().count() > 1_000_000 / 61, "{strategy:?}");
        assert!(settled.clone().all(|(_, hits)| *hits == holds), "{strategy:?}");
        assert_eq!(settled.count() as u64, last - first - 2, "{strategy:?}: a window was left out");
    }
}

/// Also where a refund moves a later entry back across it: no sum may exceed what Lua counts exactly.
#[test]
fn a_refund_moves_sums_back_across_the_seam() {
    let (strategy, rate) = (SlidingLog::new(), rate((1 << 53) - 1, DAY));
    let mut state = State::Empty;
    strategy.step(&mut state, &ask(Op::Hit, START, &rate, rate.limit() - 1, who(0)));
    for at in [START + DAY, START + DAY + 1] {
        assert!(strategy.step(&mut state, &ask(Op::Hit, at, &rate, 1, who(0))).admitted);
    }
    let refund = Op::Refund { at: Some(START + DAY) };
    assert_eq!(strategy.step(&mut state, &ask(refund, START + DAY + 2, &rate, 1, who(0))).used, 1);
    let State::Bytes(bytes) = &state else { panic!("a log keeps bytes") };
    let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
    assert!(words.clone().all(|word| word < 1 << 53), "{:?}", words.collect::<Vec<_>>());
}

#[test]
fn sums_of_a_log_wrap_without_a_seam() {
    let rate = rate((1 << 53) - 1, DAY);
    let cost = rate.limit() / 2;
    hammer(&SlidingLog::new(), &rate, cost, 10_000, |number, at| {
        assert_eq!(at, number / 2 * DAY, "hit {number}")
    });
}
