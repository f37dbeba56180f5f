//! A continuous load of requests through a router, and the count of their responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::Request;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use traffik::{Identity, OnError, Registry, SharedBackend, Throttle, ThrottleLayer};
use traffik_tests::{FOREVER, eventually, timed};

/// The time a decision may take, which is less than the injected latency.
pub(crate) const DEADLINE: Duration = Duration::from_millis(150);
/// The number of concurrent requests for each policy.
const CLIENTS: usize = 4;

/// The stage of the fault: not yet there, present, or repaired with counting restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Before,
    /// The fault is beginning or ending.
    Between,
    During,
    After,
}

/// The outcome of the requests under one policy.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) sent: u64,
    pub(crate) allowed: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    /// Failed requests that did not use up their deadline.
    pub(crate) failed_early: u64,
    /// Requests among those sent that began and ended during the fault: all of them, and the allowed ones.
    pub(crate) during: u64,
    pub(crate) during_allowed: u64,
    pub(crate) longest: Duration,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.allowed += other.allowed;
        self.refused += other.refused;
        self.failed += other.failed;
        self.failed_early += other.failed_early;
        self.during += other.during;
        self.during_allowed += other.during_allowed;
        self.longest = self.longest.max(other.longest);
    }
}

/// A continuous load from several clients, until stopped.
pub(crate) struct Load {
    phase: Arc<AtomicU8>,
    stop: Arc<AtomicBool>,
    /// Numbers of requests that began and ended during the fault: fail-open and fail-closed.
    seen: [Arc<AtomicU64>; 2],
    open: Vec<JoinHandle<Count>>,
    closed: Vec<JoinHandle<Count>>,
}

pub(crate) fn throttle(uid: &str, limit: u64, backend: &SharedBackend, on_error: OnError) -> Throttle {
    let builder = Throttle::builder(uid).rate(format!("{limit}/{FOREVER}")).registry(&Registry::new());
    let builder = builder.identifier(|_: &traffik::Parts| Identity::from("load"));
    builder.backend(backend).on_error(on_error).build().unwrap()
}

fn app(uid: &str, backend: &SharedBackend, on_error: OnError) -> Router {
    let throttle = throttle(uid, 1_000_000_000, backend, on_error);
    Router::new().route("/", get(async || "hello")).layer(ThrottleLayer::new([&throttle]))
}

impl Load {
    pub(crate) fn start(backend: &SharedBackend, phase: Phase) -> Self {
        let phase = Arc::new(AtomicU8::new(phase as u8));
        let stop = Arc::new(AtomicBool::new(false));
        let seen = [(); 2].map(|()| Arc::default());
        let clients = |app: Router, seen: &Arc<AtomicU64>| {
            let client = |_| tokio::spawn(client(app.clone(), phase.clone(), stop.clone(), seen.clone()));
            (0..CLIENTS).map(client).collect()
        };
        let open = clients(app("open", backend, OnError::allow()), &seen[0]);
        let closed = clients(app("closed", backend, OnError::throttle()), &seen[1]);
        Self { phase, stop, seen, open, closed }
    }

    /// Waits until some requests under each policy have met the fault, however busy the machine is.
    pub(crate) async fn has_met_it(&self) {
        let met = async || self.seen.iter().all(|seen| seen.load(Ordering::SeqCst) > 5);
        eventually(Duration::from_secs(30), met).await;
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// Stops the load and returns the outcomes of the fail-open and the fail-closed requests.
    pub(crate) async fn end(self) -> [Count; 2] {
        self.stop.store(true, Ordering::SeqCst);
        let mut counts = [Count::default(); 2];
        for (count, clients) in counts.iter_mut().zip([self.open, self.closed]) {
            for client in clients {
                count.add(&client.await.expect("no client panics"));
            }
        }
        counts
    }
}

async fn client(app: Router, phase: Arc<AtomicU8>, stop: Arc<AtomicBool>, seen: Arc<AtomicU64>) -> Count {
    let mut count = Count::default();
    while !stop.load(Ordering::SeqCst) {
        let began = phase.load(Ordering::SeqCst);
        let (status, took) = answered(&app).await;
        let ended = phase.load(Ordering::SeqCst);
        count.sent += 1;
        count.longest = count.longest.max(took);
        match status {
            200 => count.allowed += 1,
            429 => count.refused += 1,
            503 => {
                count.failed += 1;
                count.failed_early += u64::from(took < DEADLINE);
            }
            other => panic!("answered {other}"),
        }
        if began == ended && began == Phase::During as u8 {
            count.during += 1;
            seen.fetch_add(1, Ordering::SeqCst);
            count.during_allowed += u64::from(status == 200);
        } else if began == ended && (began == Phase::Before as u8 || began == Phase::After as u8) {
            // On a machine too busy to answer in time, the deadline itself causes failures.
            assert!(status == 200 || took >= DEADLINE, "{status} without a fault, after {took:?}");
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    count
}

/// Sends a request. Returns its status and the time it took.
async fn answered(app: &Router) -> (u16, Duration) {
    timed(DEADLINE, async {
        let request = Request::get("/").body(axum::body::Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap().status().as_u16()
    })
    .await
}
