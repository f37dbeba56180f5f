//! Redis servers that are unreachable, go away, hang or reject us: an error in time, never a refusal, and
//! counting again soon after.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use traffik::{Decision, Error, RedisBackend, Throttle};
use traffik_tests::{Proxy, RedisServer, eventually, timed};

use crate::support::{FOREVER, throttle};

const DEADLINE: Duration = Duration::from_millis(100);

/// Builds a throttle whose backend has the default timeout.
async fn impatient(server: &RedisServer) -> Throttle {
    let redis = RedisBackend::connect(server.url()).await.unwrap();
    throttle("a", &format!("1000000/{FOREVER}")).backend(redis).build().unwrap()
}

/// Hits the throttle and checks that this ends in time.
async fn hit(throttle: &Throttle) -> Result<Decision, Error> {
    let (result, took) = timed(DEADLINE, throttle.hit("ann")).await;
    if let Err(error) = &result {
        assert!(error.is_backend(), "{error}");
        assert!(!error.to_string().is_empty() && took < Duration::from_secs(2));
    }
    result
}

/// Waits until hits are counted again. Returns how long that took.
async fn recovered(throttle: &Throttle) -> Duration {
    eventually(Duration::from_secs(1), async || {
        hit(throttle).await.is_ok_and(|decision| decision.is_allowed())
    })
    .await
}

#[tokio::test]
async fn unreachable_at_the_start() {
    let server = RedisServer::stopped();
    let began = Instant::now();
    let error = RedisBackend::connect(server.url()).await.unwrap_err();
    assert!(error.is_backend() && !error.is_configuration(), "{error}");
    assert!(error.to_string().contains(&server.port().to_string()), "names the address: {error}");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test]
async fn silent_at_the_start() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let began = Instant::now();
    let error = RedisBackend::connect(format!("redis://{address}/")).await.unwrap_err();
    assert!(error.is_backend() && error.is_timeout(), "{error}");
    assert!(error.to_string().contains(&address), "names the address: {error}");
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn mistakes_are_named_without_the_password() {
    for url in ["redis://:s3cret@", "http://user:s3cret@localhost", "nonsense:s3cret@x", ""] {
        let error = RedisBackend::connect(url).await.unwrap_err();
        assert!(error.is_configuration(), "{url}: {error}");
        let shown = format!("{error} {error:?} {:?}", RedisBackend::builder(url));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    for namespace in ["", "a b", "a|b", "{a}", &"n".repeat(33)] {
        let builder = RedisBackend::builder("redis://127.0.0.1:1").namespace(namespace);
        let error = builder.connect().await.unwrap_err();
        assert!(error.is_configuration() && error.to_string().contains("namespace"), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_an_error_that_does_not_tell_it() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    let with = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port());
    let error = RedisBackend::connect(with("wr0ng")).await.unwrap_err();
    assert!(error.is_backend() && !format!("{error} {error:?}").contains("wr0ng"), "{error}");

    let redis = RedisBackend::connect(with("s3cret")).await.unwrap();
    assert!(!format!("{redis:?}").contains("s3cret"));
    let throttle = throttle("a", "1/day").backend(redis).build().unwrap();
    assert!(throttle.hit("ann").await.unwrap().is_allowed());
}

#[tokio::test]
async fn killed_and_started_again() {
    let mut server = RedisServer::start();
    let throttle = impatient(&server).await;
    assert!(hit(&throttle).await.unwrap().is_allowed());

    server.kill();
    let (began, mut failed) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(700) {
        hit(&throttle).await.unwrap_err();
        failed += 1;
        tokio::task::yield_now().await;
    }
    server.resurrect();
    let after = recovered(&throttle).await;
    println!("killed: {failed} hits failed in 700 ms; counting {after:?} after the restart");
    let used = throttle.stat("ann").await.unwrap().unwrap().used;
    assert!(used <= 2, "{used} charged: something was sent again");
}

/// Connections closed by Redis after its `timeout`, or by something in between. The next hit
/// must notice in time to reconnect.
#[tokio::test]
async fn closed_while_idle() {
    let server = RedisServer::start();
    let builder = || RedisBackend::builder(server.url());
    for (name, redis) in [("connect", builder().connect().await), ("lazy", builder().connect_lazy())] {
        let throttle = throttle(name, &format!("1000000/{FOREVER}")).backend(redis.unwrap()).build().unwrap();
        let mut failed = Vec::new();
        assert!(hit(&throttle).await.unwrap().is_allowed());
        for _ in 0..10 {
            closed(&server).await;
            failed.extend(hit(&throttle).await.err());
        }
        assert!(failed.is_empty(), "{name}: {} of 10: {failed:?}", failed.len());
    }
}

/// Servers that don't know RESP3, or may not use it, are spoken to in RESP2.
#[tokio::test]
async fn a_lazy_connection_falls_back_to_the_older_protocol() {
    let server = RedisServer::start_with(&["--rename-command", "HELLO", ""]);
    let redis = RedisBackend::builder(server.url()).connect_lazy().unwrap();
    let throttle = throttle("a", &format!("1000000/{FOREVER}")).backend(redis).build().unwrap();
    for used in 1..4 {
        assert!(hit(&throttle).await.unwrap().is_allowed());
        assert_eq!(throttle.stat("ann").await.unwrap().unwrap().used, used);
    }
    let clients = server.command::<String>(&["CLIENT", "LIST", "TYPE", "normal"]);
    assert_eq!(clients.lines().count(), 2, "ours, and this: {clients}");
}

/// A rejected connection says nothing about the protocol that the server speaks.
#[tokio::test]
async fn a_lazy_connection_chooses_once_it_is_let_in() {
    let server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    let redis = RedisBackend::builder(server.url()).connect_lazy().unwrap();
    let throttle = throttle("a", &format!("1000000/{FOREVER}")).backend(redis).build().unwrap();
    for _ in 0..3 {
        let error = hit(&throttle).await.unwrap_err();
        assert!(!error.is_timeout(), "{error}");
    }
    let client = redis::Client::open(format!("redis://:s3cret@127.0.0.1:{}/", server.port())).unwrap();
    let mut admin = client.get_connection().unwrap();
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("").exec(&mut admin).unwrap();
    eventually(Duration::from_secs(1), async || hit(&throttle).await.is_ok()).await;
    for _ in 0..10 {
        closed(&server).await;
        assert!(hit(&throttle).await.unwrap().is_allowed(), "it speaks RESP3");
    }
}

/// Closes all connections on the server's side, and gives this process time to notice.
async fn closed(server: &RedisServer) {
    server.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Managed servers often sit behind one DNS name. The master becomes a replica but keeps its connections, and
/// the name is repointed to the new master.
#[tokio::test]
async fn demoted_without_a_word() {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    let proxy = Proxy::start(first.port()).await;
    let redis = RedisBackend::connect(proxy.url()).await.unwrap();
    let throttle = throttle("a", &format!("1000000/{FOREVER}")).backend(redis).build().unwrap();
    assert!(hit(&throttle).await.unwrap().is_allowed());

    first.command::<()>(&["REPLICAOF", "127.0.0.1", &second.port().to_string()]);
    let error = hit(&throttle).await.unwrap_err();
    assert!(!error.is_timeout(), "{error}");
    proxy.lead_to(second.port());
    let after = recovered(&throttle).await;
    println!("demoted: counting {after:?} after the name was given to another");
    assert!(first.is_running() && second.decisions() > 0);
}

#[tokio::test]
async fn nothing_lost_is_sent_again() {
    let mut server = RedisServer::start();
    let throttle = impatient(&server).await;
    assert!(hit(&throttle).await.unwrap().is_allowed());
    // The hit is in flight when the server goes away, so it is unknown whether it was charged.
    server.pause();
    let (lost, ()) = tokio::join!(hit(&throttle), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        server.kill();
        server.resurrect();
    });
    lost.unwrap_err();
    eventually(Duration::from_secs(1), async || throttle.stat("ann").await.is_ok()).await;
    assert_eq!(
        throttle.stat("ann").await.unwrap().unwrap().used,
        0,
        "the new server was never asked to charge"
    );
}

#[tokio::test]
async fn stopped_for_five_seconds() {
    let server = RedisServer::start();
    let throttle = impatient(&server).await;
    assert!(hit(&throttle).await.unwrap().is_allowed());

    server.pause();
    let address = format!("127.0.0.1:{}", server.port());
    let (began, mut failed) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) {
        let error = hit(&throttle).await.unwrap_err();
        assert!(error.is_timeout() && error.to_string().contains(&address), "{error}");
        failed += 1;
    }
    server.resume();
    let after = recovered(&throttle).await;
    println!("stopped: {failed} hits failed in 5 s; counting {after:?} after it went on");
}

#[tokio::test]
async fn turned_away_for_a_while() {
    let server = RedisServer::start();
    let throttle = impatient(&server).await;
    assert!(hit(&throttle).await.unwrap().is_allowed());

    // Existing connections stay authenticated when the password is set, so `admin` can remove it again. The
    // backend's connection is killed, and its next one is rejected.
    let mut admin = server.connection();
    let mut run = |words: &[&str]| redis::cmd(words[0]).arg(&words[1..]).exec(&mut admin).unwrap();
    run(&["CONFIG", "SET", "requirepass", "s3cret"]);
    run(&["CLIENT", "KILL", "TYPE", "normal"]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        hit(&throttle).await.unwrap_err();
    }
    run(&["CONFIG", "SET", "requirepass", ""]);
    recovered(&throttle).await;
}

#[tokio::test]
async fn a_server_that_cannot_write_refuses_nobody() {
    let server = RedisServer::start();
    let throttle = impatient(&server).await;
    assert!(hit(&throttle).await.unwrap().is_allowed());

    for (broken, repaired) in [
        (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
        (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]),
    ] {
        server.command::<()>(&broken);
        hit(&throttle).await.unwrap_err();
        server.command::<()>(&repaired);
        assert!(hit(&throttle).await.unwrap().is_allowed());
    }
    // A replica of a server that does not exist.
    server.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    hit(&throttle).await.unwrap_err();
    server.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    assert!(hit(&throttle).await.unwrap().is_allowed());
    assert_eq!(throttle.stat("ann").await.unwrap().unwrap().used, 4, "what failed was not charged");
}

/// A proxy with no server behind it accepts connections and closes them at once. Not every hit may make a connection.
#[tokio::test]
async fn hung_up_on_for_a_while() {
    for stood in [false, true] {
        let (server, nobody) = (RedisServer::start(), TcpListener::bind("127.0.0.1:0").unwrap());
        let port = nobody.local_addr().unwrap().port();
        let proxy = Proxy::start(if stood { server.port() } else { port }).await;
        let redis = RedisBackend::builder(proxy.url()).connect_lazy().unwrap();
        let throttle = throttle("a", &format!("1000000/{FOREVER}")).backend(redis).build().unwrap();
        if stood {
            assert!(hit(&throttle).await.unwrap().is_allowed());
            proxy.lead_to(port);
            server.command::<u64>(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
        let hung_up = Arc::new(AtomicU64::new(0));
        let count = hung_up.clone();
        std::thread::spawn(move || {
            while let Ok(connection) = nobody.accept() {
                drop(connection);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let (began, mut failed) = (Instant::now(), 0_u64);
        // Every 50 ms, one connection for a hit and one that the manager makes on its own, and a few before that.
        let most = || 30 + 2 * began.elapsed().as_millis() as u64 / 50;
        let connections = || hung_up.load(Ordering::SeqCst);
        // Longer on a busy machine, until there are hits enough to tell.
        while began.elapsed() < Duration::from_millis(500) || connections() < 3 || failed < 10 * most() {
            failed += u64::from(hit(&throttle).await.is_err());
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{failed} hits, {} connections",
                connections()
            );
        }
        assert!(connections() <= most(), "{} connections for {failed} hits", connections());
        proxy.lead_to(server.port());
        recovered(&throttle).await;
    }
}
