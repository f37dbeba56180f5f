//! What is no state of ours, under a key of ours: taken for empty and replaced.

use traffik::Throttle;
use traffik::strategy::TokenBucket;
use traffik_tests::RedisServer;

use crate::support::{FOREVER, patient, throttle};

const VALUES: [&str; 12] = [
    "",
    "garbage",
    "1 2 3",
    " 1 2",
    "1,2",
    "-1 5",
    "1e3 5",
    "0x10 5",
    "99999999999999999999 1",
    "1 99999999999999999999",
    "nan inf",
    "=\0\u{1}binary",
];

const OTHER_TYPES: [&[&str]; 5] = [
    &["RPUSH", "", "a"],
    &["HSET", "", "a", "b"],
    &["SADD", "", "a"],
    &["ZADD", "", "1", "a"],
    &["XADD", "", "*", "a", "b"],
];

async fn recovers(server: &RedisServer, throttle: &Throttle, key: &str, value: &str) {
    let stat = throttle.stat("ann").await.unwrap().unwrap();
    assert_eq!(stat.used, 0, "{value:?} counts for nothing");
    assert!(!throttle.hit("ann").cost(u64::MAX).await.unwrap().is_allowed());
    assert_eq!(throttle.hit("ann").await.unwrap().stat().unwrap().used, 1, "{value:?}");
    assert_eq!(server.command::<String>(&["TYPE", key]), "string", "{value:?} was replaced");
    let left: i64 = server.command(&["PTTL", key]);
    assert!(left > 0, "{value:?} was replaced by something that expires");
    assert_eq!(throttle.hit("ann").await.unwrap().stat().unwrap().used, 2);
}

#[tokio::test]
async fn is_replaced() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let rate = format!("10/{FOREVER}");
    for throttle in [
        throttle("window", &rate).backend(&backend).build().unwrap(),
        throttle("bucket", &rate).strategy(TokenBucket::new()).backend(&backend).build().unwrap(),
    ] {
        assert!(throttle.hit("ann").await.unwrap().is_allowed());
        let key = server.keys().into_iter().find(|key| key.contains(throttle.uid())).unwrap();
        for value in VALUES {
            server.command::<()>(&["SET", &key, value]);
            recovers(&server, &throttle, &key, value).await;
        }
        for words in OTHER_TYPES {
            server.command::<()>(&["DEL", &key]);
            let words: Vec<&str> =
                words.iter().map(|word| if word.is_empty() { &*key } else { word }).collect();
            server.command::<redis::Value>(&words);
            recovers(&server, &throttle, &key, words[0]).await;
        }
    }
}

#[tokio::test]
async fn far_ahead_of_the_clock_does_not_last() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let rate = "10/min";
    let window = throttle("window", rate).backend(&backend).build().unwrap();
    let bucket = throttle("bucket", rate).strategy(TokenBucket::new()).backend(&backend).build().unwrap();
    for throttle in [window, bucket] {
        assert!(throttle.hit("ann").await.unwrap().is_allowed());
        let key = server.keys().into_iter().find(|key| key.contains(throttle.uid())).unwrap();
        // A full account, said to begin in the year 2255.
        server.command::<()>(&["SET", &key, "9000000000000000 10"]);
        if let Some(refused) = throttle.hit("ann").await.unwrap().throttled() {
            assert!(refused.retry_after().unwrap().as_secs() <= 60, "{refused}");
        }
    }
}
