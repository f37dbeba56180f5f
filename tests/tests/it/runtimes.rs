//! A backend that is used on one runtime after another, as one in a `static` is by tests: each has a runtime of its
//! own, and takes the tasks that serve its connections with it when it ends.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use traffik::RedisBackend;
use traffik_tests::RedisServer;

use crate::support::{FOREVER, throttle};

#[test]
fn a_backend_outlives_its_runtime() {
    let kinds: [fn() -> Runtime; 2] = [
        || Builder::new_current_thread().enable_all().build().unwrap(),
        || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
    ];
    let server = RedisServer::start();
    // RESP2 does not report lost connections.
    for (url, kind) in [server.url(), format!("{}?protocol=resp2", server.url())].iter().zip(kinds) {
        let patient = RedisBackend::builder(url).timeout(Duration::from_secs(10));
        let backend = kind().block_on(patient.connect()).unwrap();
        let throttle = throttle("a", &format!("3/{FOREVER}")).backend(backend).build().unwrap();
        for expected in [true, true, true, false] {
            let decision = kind().block_on(async { throttle.hit(url.as_str()).await });
            assert_eq!(decision.unwrap().is_allowed(), expected, "{url}");
        }
    }
}
