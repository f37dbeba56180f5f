//! Hits that keep coming, and what is known of each client's account afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use traffik::{Registry, SharedBackend, Throttle, hit_all};

/// A period of which no test sees the end.
pub(crate) const FOREVER: &str = "36500 days";

pub(crate) fn throttle(uid: &str, limit: u64, backend: &SharedBackend) -> Throttle {
    let builder = Throttle::builder(uid).rate(format!("{limit}/{FOREVER}")).registry(&Registry::new());
    builder.backend(backend).build().unwrap()
}

/// One client's hits, on two stacked throttles.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) client: String,
    pub(crate) allowed: u64,
    pub(crate) failed: u64,
    /// For people.
    #[allow(dead_code)]
    pub(crate) last: Option<traffik::Error>,
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Count>>,
}

impl Load {
    /// Hits both throttles for each client until stopped. None may be refused.
    pub(crate) fn start(throttles: &[Throttle; 2], clients: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |client: &String| {
            let (client, stop, throttles) = (client.clone(), stop.clone(), throttles.clone());
            tokio::spawn(async move {
                let mut count = Count { client, ..Count::default() };
                while !stop.load(Ordering::SeqCst) {
                    match hit_all(&throttles, count.client.as_str()).await {
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

/// Of 30 hits of a fresh client exactly the 20 of its limit pass.
pub(crate) async fn exact(backend: &SharedBackend, client: &str) {
    let limited = throttle("exact", 20, backend);
    for hit in 0..30 {
        assert_eq!(limited.hit(client).await.unwrap().is_allowed(), hit < 20, "{client}: hit {hit}");
    }
}
