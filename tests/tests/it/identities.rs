//! Whatever an identity contains, it gets an account of its own under a short key that reveals no secret.

use std::error::Error as _;
use std::net::IpAddr;

use traffik::{ANONYMOUS, Identity};
use traffik_tests::RedisServer;

use crate::support::{FOREVER, patient, throttle};

#[tokio::test]
async fn odd_ones_are_counted_apart() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let throttle = throttle("odd", &format!("10/{FOREVER}")).backend(backend).build().unwrap();
    let ip: IpAddr = "10.0.0.1".parse().unwrap();
    let identities = [
        Identity::key(""),
        Identity::key(" "),
        Identity::key("\0"),
        Identity::key("a|b"),
        Identity::key("a|"),
        Identity::key("|b"),
        Identity::key("{a}"),
        Identity::key("}a{"),
        Identity::key("{}|:\0"),
        Identity::key("a:b"),
        Identity::key("ключ 钥匙 🔑"),
        Identity::key("x".repeat(10_240)),
        Identity::key(format!("{}y", "x".repeat(10_239))),
        Identity::key("10.0.0.1"),
        Identity::key("ip:10.0.0.1"),
        Identity::from(ip),
        Identity::key("42"),
        Identity::key("n:42"),
        Identity::from(42),
        Identity::key("anonymous"),
        ANONYMOUS,
    ];
    for (index, identity) in identities.iter().enumerate() {
        let cost = index as u64 % 9 + 1;
        assert!(throttle.hit(identity).cost(cost).await.unwrap().is_allowed());
    }
    for (index, identity) in identities.iter().enumerate() {
        assert_eq!(
            throttle.stat(identity).await.unwrap().unwrap().used,
            index as u64 % 9 + 1,
            "number {index}"
        );
    }
    let keys = server.keys();
    assert_eq!(keys.len(), identities.len());
    assert!(keys.iter().all(|key| key.len() <= 200 && key.matches('{').count() == 1), "{keys:?}");
    assert!(
        keys.contains(&"traffik|odd|fixed_window~3153600000000000||{ip:10.0.0.1}".to_owned()),
        "{keys:?}"
    );
}

#[tokio::test]
async fn scopes_are_counted_apart() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let build = |uid: &str| throttle(uid, &format!("10/{FOREVER}")).backend(&backend);
    let throttles = [
        build("a").build().unwrap(),
        build("a").scope("").build().unwrap(),
        build("a").scope("eu").build().unwrap(),
        build("a").scope("e|u").build().unwrap(),
        build("a").scope("{eu}").build().unwrap(),
        build("a").scope("s".repeat(1000)).build().unwrap(),
        build("a:eu").build().unwrap(),
        build("u".repeat(64).as_str()).scope("s".repeat(32)).build().unwrap(),
    ];
    for throttle in &throttles {
        assert_eq!(throttle.hit("ann").await.unwrap().stat().unwrap().used, 1);
    }
    let keys = server.keys();
    assert_eq!(keys.len(), throttles.len());
    assert!(keys.iter().all(|key| key.len() <= 200), "{keys:?}");
}

#[tokio::test]
async fn secrets_stay_out_of_the_keys_and_the_slow_log() {
    let server = RedisServer::start();
    server.command::<()>(&["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    let throttle = throttle("a", "10/day").backend(patient(&server).await).build().unwrap();
    assert!(throttle.hit("s3cret-t0ken").await.unwrap().is_allowed());
    let log: redis::Value = server.command(&["SLOWLOG", "GET", "100"]);
    let seen = format!("{log:?} {:?}", server.keys());
    assert!(seen.contains("EVALSHA") && !seen.contains("s3cret"), "{seen}");
}

/// A server that does not know a command repeats its arguments in the error, which is logged.
#[tokio::test]
async fn clients_stay_out_of_errors() {
    let server = RedisServer::start_with(&["--rename-command", "EVALSHA", ""]);
    let throttle = throttle("a", "10/day").scope("s3cret").backend(patient(&server).await).build().unwrap();
    let ip: IpAddr = "192.0.2.77".parse().unwrap();
    for identity in [Identity::from(ip), Identity::from(4_242_424_242)] {
        let error = throttle.hit(identity).await.unwrap_err();
        let seen = format!("{error} {error:?} {:?}", error.source());
        assert!(seen.contains("unknown command 'EVALSHA'"), "{seen}");
        assert!(["192.0.2.77", "4242424242", "s3cret"].iter().all(|secret| !seen.contains(secret)), "{seen}");
    }
}
