//! [`TimeOfDay`]: different limits at different hours.

use super::exact::percent;
use super::{Ask, EXACT, State, Strategy, Verdict, Window};
use crate::rate::Rate;

const HOUR: u64 = 3_600_000_000;
const DAY: u64 = 24 * HOUR;
const MINUTE: u64 = 60_000_000;

/// The longest offset from UTC: less than a day.
const FAR: u32 = 24 * 60 - 1;

/// The highest percentage: a thousandfold.
const MOST: u64 = 100_000;

/// Counts per calendar window, under a limit that depends on the hour of the day:
/// `used + c ≤ L · percent(hour) / 100`. The hour is that of the hit, so within a long window the limit
/// rises and falls while the count continues.
///
/// State, 16 bytes a client: the last change and what was used in its window. Round trips: 0 in memory, 2 on Redis.
///
/// **When:** batch clients should work at night. **When not:** local time observes daylight saving: the
/// offset from UTC is fixed.
///
/// A changed limit, range or offset keeps what was used; a changed period starts afresh.
///
/// ```
/// use traffik::{Throttle, strategy::TimeOfDay};
///
/// let reports = Throttle::builder("docs:time_of_day")
///     .rate("100/hour")
///     .strategy(TimeOfDay::new().hours(22, 6, 500).hours(12, 13, 50).utc_offset(60))
///     .build()?;
/// # let _ = reports;
/// # Ok::<(), traffik::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeOfDay {
    ranges: Vec<(u8, u8, u64)>,
    /// Minutes east of Greenwich.
    offset: i32,
}

impl TimeOfDay {
    /// Creates the strategy without any ranges: the rate's limit at every hour, in UTC.
    #[must_use]
    pub const fn new() -> Self {
        Self { ranges: Vec::new(), offset: 0 }
    }

    /// Sets the limit from one hour to another (the end is excluded; 24 and 0 both mean midnight), in
    /// percent of the rate's limit. `hours(22, 6, ..)` spans midnight; 0 percent closes those hours. If
    /// ranges overlap, the last one set counts; outside all ranges, it is 100 percent.
    #[must_use]
    pub fn hours(mut self, from: u8, to: u8, percent: u64) -> Self {
        self.ranges.push((from, to, percent));
        self
    }

    /// Sets how far local time is ahead of UTC, in minutes: 60 for Berlin in winter, −300 for New York.
    #[must_use]
    pub const fn utc_offset(mut self, minutes: i32) -> Self {
        self.offset = minutes;
        self
    }

    /// Microseconds into the local day.
    fn local(&self, now: u64) -> u64 {
        let distance = u64::from(self.offset.unsigned_abs()) * MINUTE % DAY;
        let shift = if self.offset < 0 { DAY - distance } else { distance };
        (now % DAY + shift) % DAY
    }

    fn limit_in(&self, limit: u64, hour: u64) -> u64 {
        let holds = |(from, to, _): &&(u8, u8, u64)| {
            let (from, to) = (u64::from(*from), u64::from(*to));
            if from < to { (from..to).contains(&hour) } else { hour >= from || hour < to }
        };
        self.ranges.iter().rev().find(holds).map_or(limit, |(.., hundredths)| percent(limit, *hundredths))
    }

    fn limit_at(&self, limit: u64, now: u64) -> u64 {
        self.limit_in(limit, self.local(now) / HOUR)
    }

    /// The first instant from `from` on, and before `until`, whose hour has a limit of at least `units`.
    fn first_with(&self, limit: u64, units: u64, from: u64, until: u64) -> Option<u64> {
        let next_hour = from + (HOUR - self.local(from) % HOUR);
        let starts = std::iter::once(from).chain((0..24).map(|hours| next_hour + hours * HOUR));
        starts.take_while(|start| *start < until).find(|start| self.limit_at(limit, *start) >= units)
    }
}

impl Strategy for TimeOfDay {
    fn name(&self) -> &str {
        "time_of_day"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        for (from, to, hundredths) in &self.ranges {
            if *from > 23 || *to > 24 || from == to {
                return Err(format!(
                    "from {from} to {to} is not a range of hours; begin at 0 to 23, and end at a \
                     different hour, up to 24"
                ));
            }
            if *hundredths > MOST || percent(rate.limit(), *hundredths) >= EXACT {
                return Err(format!(
                    "{hundredths} percent of {} from hour {from} to {to} cannot be counted; use at most \
                     {MOST} percent, and keep the result below 2^53",
                    rate.limit()
                ));
            }
        }
        if self.offset.unsigned_abs() > FAR {
            return Err(format!(
                "an offset of {} minutes from UTC is a day or more; stay within ±{FAR}",
                self.offset
            ));
        }
        if self.capacity(rate) == 0 {
            return Err(format!(
                "the limit of {} comes to 0 at every hour; give at least one hour a percentage that yields 1 unit",
                rate.limit()
            ));
        }
        Ok(())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        (0..24).map(|hour| self.limit_in(rate.limit(), hour)).max().unwrap_or(0)
    }

    /// The limit may fall at the end of an hour.
    fn room_stands(&self) -> bool {
        false
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let (full, period) = (ask.rate.limit(), ask.rate.period_micros());
        let window = Window::open(state, ask.now, period, 0);
        // If the clock stepped back, time stands still for this client, so that it stays on this side of
        // the hour.
        let seen = state.words().map_or(0, |[last, _]| last);
        let now = if (window.start..window.end).contains(&seen) { seen.max(ask.now) } else { ask.now };
        let mut verdict = window.step(state, ask.op, ask.now, ask.cost, self.limit_at(full, now));
        if let State::Words([last, _]) = state
            && verdict.admitted
            && ask.op.changes()
        {
            *last = now;
        }
        if !verdict.admitted {
            // A better hour of this window, or a sufficient one once the window is over.
            let wanted = window.used.saturating_add(ask.cost);
            let passes = self
                .first_with(full, wanted, now, window.end)
                .or_else(|| self.first_with(full, ask.cost, window.end, u64::MAX));
            verdict.wait = passes.map_or(Verdict::NEVER, |passes| passes - ask.now);
        }
        verdict
    }
}
