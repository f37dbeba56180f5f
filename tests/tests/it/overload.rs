//! A server that leaves calls unanswered gets no more of them than it takes to learn that it is back. Corrections still
//! reach it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use traffik::{Decision, Error, RedisBackend, Throttle};
use traffik_tests::{RedisServer, eventually};

use crate::support::{FOREVER, throttle};

const CLIENTS: usize = 50;

/// How many hits a server gets at the same time, however long it is silent.
const LEAST: usize = 4;

/// Far longer than a server needs that is no longer silent.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a hit for each client, all at the same time.
fn hits(throttle: &Arc<Throttle>) -> JoinSet<Result<Decision, Error>> {
    let hit = |client: usize| {
        let throttle = throttle.clone();
        async move { throttle.hit(format!("client-{client}")).await }
    };
    (0..CLIENTS).map(hit).collect()
}

/// Waits for the hits, and returns the errors.
async fn errors(hits: JoinSet<Result<Decision, Error>>) -> Vec<Error> {
    hits.join_all().await.into_iter().filter_map(Result::err).collect()
}

fn unsent(errors: &[Error]) -> usize {
    errors.iter().filter(|error| error.to_string().ends_with("so this one was not sent")).count()
}

#[tokio::test]
async fn a_silent_server_gets_few_hits_but_every_correction() {
    let server = RedisServer::start();
    let redis =
        RedisBackend::builder(server.url()).timeout(Duration::from_millis(200)).connect().await.unwrap();
    let throttle = throttle("a", &format!("1000000/{FOREVER}")).backend(redis).build().unwrap();
    let throttle = Arc::new(throttle);
    assert!(throttle.hit("ann").cost(7).await.unwrap().is_allowed());
    assert!(errors(hits(&throttle)).await.is_empty());

    server.pause();
    let first = errors(hits(&throttle)).await;
    assert_eq!((first.len(), unsent(&first)), (CLIENTS, 0), "nothing is known yet: {first:?}");
    let second = hits(&throttle);
    // The hits are polled, which leaves no room.
    tokio::task::yield_now().await;
    assert!(throttle.refund("ann", 5).await.unwrap_err().is_timeout());
    let second = errors(second).await;
    assert!(second.iter().all(Error::is_timeout), "{second:?}");
    assert_eq!((second.len(), unsent(&second)), (CLIENTS, CLIENTS - LEAST), "{second:?}");

    server.resume();
    eventually(PATIENCE, async || throttle.stat("ann").await.is_ok()).await;
    assert_eq!(throttle.stat("ann").await.unwrap().unwrap().used, 2, "it was sent, and is carried out");
    // There is room for all again. How soon is up to the machine: see the simulations in `congestion.rs`.
    eventually(PATIENCE, async || errors(hits(&throttle)).await.is_empty()).await;
}
