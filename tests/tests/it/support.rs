//! Short forms for what every test here begins with.

use std::time::Duration;

use traffik::{RedisBackend, Registry, SharedBackend, Throttle, ThrottleBuilder};
use traffik_tests::RedisServer;

/// A period of which no test sees the end: the calendar's next one of these begins in 2069.
pub(crate) const FOREVER: &str = "36500 days";

/// A backend whose deadline a busy machine does not reach.
pub(crate) async fn patient(server: &RedisServer) -> SharedBackend {
    RedisBackend::builder(server.url()).timeout(Duration::from_secs(10)).connect().await.unwrap().into()
}

/// A throttle of this test alone: other tests may use its uid.
#[track_caller]
pub(crate) fn throttle(uid: &str, rate: &str) -> ThrottleBuilder {
    Throttle::builder(uid).rate(rate).registry(&Registry::new())
}
