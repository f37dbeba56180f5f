//! Metrics for operators, through the [`metrics`] facade: they go to whichever recorder the program
//! installs (Prometheus, StatsD, …).
//!
//! | name | kind | labels | meaning |
//! |---|---|---|---|
//! | `traffik_hits_total` | counter | `uid`, `backend`, `outcome` | hits, one per throttle and decision |
//! | `traffik_units_total` | counter | `uid`, `backend` | units of cost that hits charged |
//! | `traffik_retry_after_seconds` | histogram | `uid`, `backend` | how long refused clients are told to wait |
//! | `traffik_backend_seconds` | histogram | `backend`, `outcome` | duration of backend calls |
//! | `traffik_backend_calls` | gauge | `backend` | backend calls in progress |
//!
//! Every label is bounded by what the program itself declares: `uid` by its throttles, `backend` by the
//! kinds of stores ([`Backend::name`](crate::Backend::name)), and `outcome` by these values:
//!
//! | `outcome` of a hit | meaning |
//! |---|---|
//! | `allowed` | charged |
//! | `denied` | over the limit; nothing was charged |
//! | `shadowed` | over the limit in shadow mode; the request was not refused |
//! | `uncharged` | not charged, because another throttle of the request refused, or its backend failed; if a refusal lets the handler run anyway, the hit is decided and counted once more |
//! | `error` | the backend could not decide; `on_error` determined what happened to the request |
//! | `exempt` | passed uncounted: exempt, free, skipped by a rule, unlimited or disabled; `backend` is `none` |
//!
//! The outcome of a backend call is `ok`, `timeout`, `error`, `contention` if too many callers changed [the
//! same keys](crate::BackendError::contention), or `dropped` if the client went away first. Calls that
//! never wait, such as those of the in-memory store, are not timed: reading the clock twice would take
//! longer than the call. Refunds and checks count as calls, not as hits.
//!
//! A reservation counts as a hit with the units that it reserves; what a settlement takes in addition or
//! gives back is not included in the units. If a throttle refuses a request but lets the handler run, the
//! other throttles decide the request once more: they count it as `uncharged` first, and again with its
//! final outcome. A hit whose client goes away before it is decided is not counted, although it may be
//! charged.
//!
//! A hit costs one lookup in the recorder for each of its counters, no allocation after a throttle's first
//! hit, and next to nothing while no recorder is installed. A timed call takes two lookups and two small allocations
//! more. Without the feature, none of this is compiled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use metrics::{Key, Label, Level, Metadata, Recorder, Unit, with_recorder};

use crate::hit_outcome::HitOutcome;

const HITS: &str = "traffik_hits_total";
const UNITS: &str = "traffik_units_total";
const RETRY_AFTER: &str = "traffik_retry_after_seconds";
const SECONDS: &str = "traffik_backend_seconds";
const CALLS: &str = "traffik_backend_calls";

static METADATA: Metadata<'static> = Metadata::new("traffik", Level::INFO, Some("traffik"));

/// Describes each metric and its unit to the recorder. Call it once, after the recorder is installed;
/// exporters show the descriptions as help texts.
pub fn describe() {
    with_recorder(|recorder| {
        recorder.describe_counter(
            HITS.into(),
            Some(Unit::Count),
            "Hits, counted per throttle and decision".into(),
        );
        recorder.describe_counter(UNITS.into(), Some(Unit::Count), "Units of cost charged by hits".into());
        recorder.describe_histogram(
            RETRY_AFTER.into(),
            Some(Unit::Seconds),
            "How long refused clients are told to wait".into(),
        );
        recorder.describe_histogram(SECONDS.into(), Some(Unit::Seconds), "Duration of backend calls".into());
        recorder.describe_gauge(CALLS.into(), Some(Unit::Count), "Backend calls in progress".into());
    });
}

/// The keys of one throttle's metrics, created once for each kind of backend that it uses.
#[derive(Debug, Default)]
pub(crate) struct Meter(ArcSwap<Vec<Arc<Keys>>>);

#[derive(Debug)]
struct Keys {
    backend: &'static str,
    /// One for each of [`HitOutcome::ALL`].
    hits: [Key; HitOutcome::ALL.len()],
    units: Key,
    retry_after: Key,
}

/// The backend of hits that never reached one.
const NONE: &str = "none";

impl Keys {
    fn new(uid: &'static str, backend: &'static str) -> Self {
        let labels =
            || vec![Label::from_static_parts("uid", uid), Label::from_static_parts("backend", backend)];
        let hits = HitOutcome::ALL.map(|outcome| {
            let word = if backend == NONE { "exempt" } else { outcome.word() };
            let mut labels = labels();
            labels.push(Label::from_static_parts("outcome", word));
            Key::from_parts(HITS, labels)
        });
        Self {
            backend,
            hits,
            units: Key::from_parts(UNITS, labels()),
            retry_after: Key::from_parts(RETRY_AFTER, labels()),
        }
    }
}

impl Meter {
    fn with(&self, uid: &'static str, backend: &'static str, record: impl FnOnce(&Keys, &dyn Recorder)) {
        let known = self.0.load();
        let find = |known: &[Arc<Keys>]| known.iter().find(|keys| keys.backend == backend).cloned();
        if let Some(keys) = known.iter().find(|keys| keys.backend == backend) {
            with_recorder(|recorder| record(keys, recorder));
            return;
        }
        drop(known);
        let new = Arc::new(Keys::new(uid, backend));
        self.0.rcu(|known| match find(known) {
            Some(_) => Vec::clone(known),
            None => known.iter().chain([&new]).cloned().collect(),
        });
        with_recorder(|recorder| record(&new, recorder));
    }

    pub(crate) fn hit(
        &self,
        uid: &'static str,
        backend: &'static str,
        outcome: HitOutcome,
        cost: u64,
        wait: Option<Duration>,
    ) {
        self.with(uid, backend, |keys, recorder| {
            recorder.register_counter(&keys.hits[outcome as usize], &METADATA).increment(1);
            if outcome == HitOutcome::Allowed {
                recorder.register_counter(&keys.units, &METADATA).increment(cost);
            }
            if let Some(wait) = wait {
                recorder.register_histogram(&keys.retry_after, &METADATA).record(wait.as_secs_f64());
            }
        });
    }

    pub(crate) fn exempt(&self, uid: &'static str) {
        self.with(uid, NONE, |keys, recorder| {
            recorder.register_counter(&keys.hits[0], &METADATA).increment(1);
        });
    }
}

/// Times one backend call; a call that is dropped half-way has ended, too.
pub(crate) struct CallTimer {
    backend: &'static str,
    started: Instant,
    outcome: &'static str,
    /// Kept until the end: a recorder that is installed meanwhile must not count down what it never counted up.
    under_way: metrics::Gauge,
}

impl CallTimer {
    pub(crate) fn start(backend: &'static str) -> Self {
        let key = Key::from_parts(CALLS, vec![Label::from_static_parts("backend", backend)]);
        let under_way = with_recorder(|recorder| recorder.register_gauge(&key, &METADATA));
        under_way.increment(1.0);
        Self { backend, started: Instant::now(), outcome: "dropped", under_way }
    }

    pub(crate) fn stop(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for CallTimer {
    fn drop(&mut self) {
        self.under_way.decrement(1.0);
        let labels = vec![
            Label::from_static_parts("backend", self.backend),
            Label::from_static_parts("outcome", self.outcome),
        ];
        let key = Key::from_parts(SECONDS, labels);
        with_recorder(|recorder| {
            let histogram = recorder.register_histogram(&key, &METADATA);
            histogram.record(self.started.elapsed().as_secs_f64());
        });
    }
}
