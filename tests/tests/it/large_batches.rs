//! Batches of thousands of hits, which no script may be too small for.

use traffik::{Throttle, hit_all};
use traffik_tests::{RedisServer, strategies};

use crate::support::{mirrored, throttle};

/// More values than a Lua function can return.
const HITS: usize = 8_000;

/// Charges all hits twice, and is then refused once.
async fn are_decided_like_in_memory(names: &[&str]) {
    let server = RedisServer::start();
    let (_, mirror) = mirrored(&server).await;
    let chosen: Vec<_> = strategies(2).into_iter().filter(|(name, _)| names.contains(name)).collect();
    assert_eq!(chosen.len(), names.len());
    let build = |index: usize| -> Throttle {
        let strategy = chosen[index % chosen.len()].1.clone();
        throttle(&format!("t{index}"), "2/min").strategy(strategy).backend(&mirror).build().unwrap()
    };
    let throttles: Vec<Throttle> = (0..HITS).map(build).collect();
    for room in [true, true, false] {
        assert_eq!(hit_all(&throttles, "ann").await.unwrap().is_allowed(), room, "{names:?}");
    }
}

#[tokio::test]
async fn by_script_are_decided_like_in_memory() {
    let names = ["fixed_window", "sliding_window", "sliding_log", "token_bucket", "leaky_queue", "gcra"];
    are_decided_like_in_memory(&names).await;
}

#[tokio::test]
async fn by_swap_are_decided_like_in_memory() {
    are_decided_like_in_memory(&["rollover"]).await;
}
