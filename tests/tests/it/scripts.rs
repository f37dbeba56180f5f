//! Scripts that the server does not have are sent along, and nothing is charged twice.

use traffik_tests::RedisServer;

use crate::support::{FOREVER, patient, throttle};

#[tokio::test]
async fn after_a_flush() {
    let server = RedisServer::start();
    let throttle = throttle("a", &format!("10/{FOREVER}")).backend(patient(&server).await).build().unwrap();
    for used in 1..=5 {
        server.command::<()>(&["SCRIPT", "FLUSH"]);
        assert_eq!(throttle.hit("ann").await.unwrap().stat().unwrap().used, used);
    }
}

/// Loading a script and calling it would be two steps, between which the scripts could be flushed once more.
#[tokio::test]
async fn in_one_step() {
    let server = RedisServer::start_with(&["--rename-command", "SCRIPT", ""]);
    let throttle = throttle("a", &format!("10/{FOREVER}")).backend(patient(&server).await).build().unwrap();
    for used in 1..=2 {
        assert_eq!(throttle.hit("ann").await.unwrap().stat().unwrap().used, used);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_nobody_noticed() {
    let mut server = RedisServer::start();
    let throttle = throttle("a", &format!("10/{FOREVER}")).backend(patient(&server).await).build().unwrap();
    assert_eq!(throttle.hit("ann").await.unwrap().stat().unwrap().used, 1);
    for _ in 0..3 {
        server.restart();
        // The server was gone between two hits, and neither of them notices.
        assert_eq!(throttle.hit("ann").await.unwrap().stat().unwrap().used, 1, "the store is empty");
    }
}
