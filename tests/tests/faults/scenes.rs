//! The faults: how each begins and ends, and how it must affect requests.

use std::pin::Pin;
use std::time::{Duration, Instant};

use traffik::{OnError, RedisBackend, SharedBackend};
use traffik_tests::{Proxy, RedisServer, eventually, exact};

use crate::load::{DEADLINE, Load, Phase, throttle};
use crate::table::Row;

type Scene = Pin<Box<dyn Future<Output = Row>>>;

/// How long a fault lasts by default.
const LASTING: Duration = Duration::from_millis(700);

/// What requests experience that begin and end during the fault.
#[derive(Clone, Copy, PartialEq)]
enum Meets {
    /// No decision is possible.
    Outage,
    /// Redis decides, but may have lost its data.
    Loss,
}

/// Returns all scenarios, each with its own servers.
pub(crate) fn all() -> Vec<Scene> {
    vec![
        Box::pin(refused_at_start()),
        Box::pin(refused_for_a_while()),
        Box::pin(killed()),
        Box::pin(stopped()),
        Box::pin(slow()),
        Box::pin(cut()),
        Box::pin(flushed()),
        Box::pin(configured("`maxmemory` reached", &["maxmemory", "1"], &["maxmemory", "0"])),
        Box::pin(replica()),
        Box::pin(password()),
        Box::pin(wrong_type()),
    ]
}

async fn connect(url: String) -> SharedBackend {
    RedisBackend::builder(url).timeout(DEADLINE).connect().await.unwrap().into()
}

/// Runs the load, the fault and its repair, and then proves that counting is exact again.
async fn scene(
    name: &'static str,
    meets: Meets,
    backend: SharedBackend,
    fault: impl AsyncFnOnce(&Load),
    repair: impl AsyncFnOnce(),
) -> Row {
    let load = Load::start(&backend, Phase::Before);
    tokio::time::sleep(Duration::from_millis(200)).await;
    load.enter(Phase::Between);
    during(name, meets, backend, load, fault, repair).await
}

async fn during(
    name: &'static str,
    meets: Meets,
    backend: SharedBackend,
    load: Load,
    fault: impl AsyncFnOnce(&Load),
    repair: impl AsyncFnOnce(),
) -> Row {
    fault(&load).await;
    load.has_met_it().await;
    load.enter(Phase::Between);
    repair().await;

    let probe = throttle("probe", 1_000_000, &backend, OnError::throttle());
    let again = eventually(Duration::from_secs(1), async || probe.hit("probe").await.is_ok()).await;
    exact(name, &throttle("exact", 50, &backend, OnError::throttle()), 0).await;
    load.enter(Phase::After);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let [open, closed] = load.end().await;

    assert_eq!((open.refused, closed.refused), (0, 0), "{name}: an outage was answered 429");
    assert_eq!((open.allowed, open.failed), (open.sent, 0), "{name}: fail-open stopped somebody");
    assert!(open.during > 5 && closed.during > 5, "{name}: {open:?} {closed:?}");
    match meets {
        Meets::Outage => assert_eq!(closed.during_allowed, 0, "{name}: {closed:?}"),
        Meets::Loss => assert_eq!(closed.failed_early, 0, "{name}: {closed:?}"),
    }
    Row { name, open, closed, again }
}

/// Marks the fault as present and lets it last.
async fn lasting(load: &Load) {
    load.enter(Phase::During);
    tokio::time::sleep(LASTING).await;
}

async fn refused_at_start() -> Row {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    proxy.refuse().await;
    let began = Instant::now();
    let error = RedisBackend::builder(proxy.url()).timeout(DEADLINE).connect().await.unwrap_err();
    assert!(error.is_backend() && began.elapsed() < Duration::from_millis(500), "{error}");
    let lazy = RedisBackend::builder(proxy.url()).timeout(DEADLINE).connect_lazy().unwrap();
    let backend = SharedBackend::from(lazy);
    let load = Load::start(&backend, Phase::Between);
    let name = "connection refused at start";
    during(name, Meets::Outage, backend, load, lasting, async || proxy.serve().await).await
}

async fn refused_for_a_while() -> Row {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let backend = connect(proxy.url()).await;
    let fault = async |load: &Load| {
        proxy.refuse().await;
        lasting(load).await;
    };
    scene("connection refused later", Meets::Outage, backend, fault, async || proxy.serve().await).await
}

async fn killed() -> Row {
    let server = std::cell::RefCell::new(RedisServer::start());
    let url = server.borrow().url();
    let backend = connect(url).await;
    let fault = async |load: &Load| {
        server.borrow_mut().kill();
        lasting(load).await;
    };
    let repair = async || server.borrow_mut().resurrect();
    scene("killed and restarted, its scripts lost", Meets::Outage, backend, fault, repair).await
}

async fn stopped() -> Row {
    let server = RedisServer::start();
    let backend = connect(server.url()).await;
    let fault = async |load: &Load| {
        server.pause();
        load.enter(Phase::During);
        tokio::time::sleep(Duration::from_secs(5)).await;
    };
    scene("`SIGSTOP` for 5 s", Meets::Outage, backend, fault, async || server.resume()).await
}

async fn slow() -> Row {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let backend = connect(proxy.url()).await;
    let fault = async |load: &Load| {
        proxy.latency(Duration::from_millis(300));
        lasting(load).await;
    };
    scene("latency of 300 ms", Meets::Outage, backend, fault, async || proxy.latency(Duration::ZERO)).await
}

async fn cut() -> Row {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let backend = connect(proxy.url()).await;
    let fault = async |load: &Load| {
        proxy.cut(true);
        lasting(load).await;
    };
    scene("replies cut in the middle", Meets::Outage, backend, fault, async || proxy.cut(false)).await
}

async fn flushed() -> Row {
    let server = RedisServer::start();
    let backend = connect(server.url()).await;
    let fault = async |load: &Load| {
        load.enter(Phase::During);
        for _ in 0..14 {
            server.command::<()>(&["FLUSHALL"]);
            tokio::time::sleep(LASTING / 14).await;
        }
    };
    scene("`FLUSHALL`, 14 times", Meets::Loss, backend, fault, async || {}).await
}

async fn configured(name: &'static str, broken: &[&str], repaired: &[&str]) -> Row {
    let server = RedisServer::start();
    let backend = connect(server.url()).await;
    let set = |words: &[&str]| server.command::<()>(&[&["CONFIG", "SET"], words].concat());
    let fault = async |load: &Load| {
        set(broken);
        lasting(load).await;
    };
    scene(name, Meets::Outage, backend, fault, async || set(repaired)).await
}

async fn replica() -> Row {
    let server = RedisServer::start();
    let master = RedisServer::start();
    let backend = connect(server.url()).await;
    let port = master.port().to_string();
    let fault = async |load: &Load| {
        server.command::<()>(&["REPLICAOF", "127.0.0.1", &port]);
        lasting(load).await;
    };
    let repair = async || server.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    scene("turned into a read-only replica", Meets::Outage, backend, fault, repair).await
}

async fn password() -> Row {
    let server = RedisServer::start();
    let backend = connect(server.url()).await;
    // Existing connections stay authenticated when the password is set, so `admin` can remove it again. The
    // backend's connection is killed, and its next one is rejected.
    let admin = std::cell::RefCell::new(server.connection());
    let run = |words: &[&str]| redis::cmd(words[0]).arg(&words[1..]).exec(&mut *admin.borrow_mut()).unwrap();
    let fault = async |load: &Load| {
        run(&["CONFIG", "SET", "requirepass", "s3cret"]);
        run(&["CLIENT", "KILL", "TYPE", "normal"]);
        lasting(load).await;
    };
    let repair = async || run(&["CONFIG", "SET", "requirepass", ""]);
    scene("wrong password", Meets::Outage, backend, fault, repair).await
}

async fn wrong_type() -> Row {
    /// Replaces every key with a list.
    const SPOIL: &str = "for _, key in ipairs(redis.call('KEYS', '*')) do \
                         redis.call('DEL', key) redis.call('RPUSH', key, 'x') end";
    let server = RedisServer::start();
    let backend = connect(server.url()).await;
    let fault = async |load: &Load| {
        load.enter(Phase::During);
        for _ in 0..14 {
            server.command::<()>(&["EVAL", SPOIL, "0"]);
            tokio::time::sleep(LASTING / 14).await;
        }
    };
    scene("another type under our keys, 14 times", Meets::Loss, backend, fault, async || {}).await
}
