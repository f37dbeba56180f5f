//! A continuous load of hits, and what is known about each client's account afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use traffik::{Registry, SharedBackend, Throttle, hit_all};
use traffik_tests::{FOREVER, eventually, timed};

/// The timeout of backends whose servers die.
pub(crate) const DEADLINE: Duration = Duration::from_millis(150);

pub(crate) fn throttle(uid: &str, limit: u64, backend: &SharedBackend) -> Throttle {
    let builder = Throttle::builder(uid).rate(format!("{limit}/{FOREVER}")).registry(&Registry::new());
    builder.backend(backend).build().unwrap()
}

/// Two throttles whose limits are never reached.
pub(crate) fn stack(backend: &SharedBackend) -> [Throttle; 2] {
    [throttle("generous", 1_000_000, backend), throttle("too", 1_000_000, backend)]
}

/// The outcome of one client's hits on two stacked throttles.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) client: u64,
    pub(crate) allowed: u64,
    pub(crate) failed: u64,
    pub(crate) longest: Duration,
    /// Shown in the output of failed assertions.
    #[allow(dead_code)]
    pub(crate) last: Option<traffik::Error>,
}

/// The outcome of all clients' hits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    pub(crate) allowed: u64,
    pub(crate) failed: u64,
    pub(crate) longest: Duration,
}

impl Sum {
    pub(crate) fn of(counts: &[Count]) -> Self {
        let sum = |of: fn(&Count) -> u64| counts.iter().map(of).sum();
        Self {
            allowed: sum(|count| count.allowed),
            failed: sum(|count| count.failed),
            longest: counts.iter().map(|count| count.longest).max().unwrap(),
        }
    }
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Count>>,
}

impl Load {
    /// Hits both throttles for every client until stopped. No hit may be refused, and none may take longer
    /// than the deadline plus a grace period.
    pub(crate) fn start(throttles: &[Throttle; 2], clients: &[u64], deadline: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |client: &u64| {
            let (client, stop, throttles) = (*client, stop.clone(), throttles.clone());
            tokio::spawn(async move {
                let mut count = Count { client, ..Count::default() };
                while !stop.load(Ordering::SeqCst) {
                    let (result, took) = timed(deadline, hit_all(&throttles, client)).await;
                    count.longest = count.longest.max(took);
                    match result {
                        Ok(decision) => {
                            assert!(decision.is_allowed(), "refused");
                            count.allowed += 1;
                        }
                        Err(error) => {
                            assert!(error.is_backend(), "{error}");
                            count.last = Some(error);
                            count.failed += 1;
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                count
            })
        };
        Self { clients: clients.iter().map(client).collect(), stop }
    }

    pub(crate) async fn end(self) -> Vec<Count> {
        self.stop.store(true, Ordering::SeqCst);
        let mut counts = Vec::new();
        for client in self.clients {
            counts.push(client.await.unwrap());
        }
        counts
    }
}

/// Waits at most a second until a hit of every client is counted.
pub(crate) async fn all_counted(stack: &[Throttle; 2], clients: &[u64]) {
    let all = async || {
        for client in clients {
            if timed(DEADLINE, hit_all(stack, *client)).await.0.is_err() {
                return false;
            }
        }
        true
    };
    eventually(Duration::from_secs(1), all).await;
}

/// Asserts that exactly those of a fresh client's hits are allowed that are within its limit.
pub(crate) async fn exact(backend: &SharedBackend, client: u64) {
    traffik_tests::exact("after the fault", &throttle("exact", 20, backend), client).await;
}
