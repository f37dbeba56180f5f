//! A cluster of three masters and three replicas.

use std::sync::Arc;
use std::time::Duration;

use traffik::strategy::{LeakyQueue, SlidingLog, Strategy};
use traffik::{
    Identity, MemoryBackend, Parts, QuotaContext, RedisBackend, Registry, SharedBackend, Throttle, hit_all,
};
use traffik_tests::{FOREVER, Random, RedisCluster, RedisServer, eventually, request};

use crate::failover;
use crate::load::{Load, throttle};

pub(crate) async fn connect(cluster: &RedisCluster, timeout: Duration) -> SharedBackend {
    let [first, rest @ ..] = &cluster.urls()[..] else { unreachable!() };
    let builder = RedisBackend::builder(first).cluster(rest.iter().cloned()).timeout(timeout);
    builder.connect().await.unwrap().into()
}

fn header(name: &'static str) -> impl Fn(&Parts) -> Identity + Send + Sync + 'static {
    move |parts| Identity::key(parts.headers[name].to_str().unwrap())
}

/// Builds a throttle that identifies clients by this header.
fn of(name: &'static str, limit: u64, backend: &SharedBackend) -> Throttle {
    let builder = Throttle::builder(name).rate(format!("{limit}/{FOREVER}")).registry(&Registry::new());
    builder.identifier(header(name)).backend(backend).build().unwrap()
}

/// Whoever is to repair it has to know which of the nodes it is.
async fn errors_name_the_node_that_failed(cluster: &RedisCluster, backend: &SharedBackend) {
    let throttle = throttle("named", 100, backend);
    for client in 0..20_u64 {
        let home = &cluster.nodes()[cluster.first_home(cluster.slot(&format!("{{n:{client}}}")))];
        home.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
        let error = throttle.hit(client).await.unwrap_err().to_string();
        home.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
        assert!(error.contains(&format!("redis at 127.0.0.1:{}", home.port())), "{error}");
    }
}

fn decisions(cluster: &RedisCluster) -> u64 {
    cluster.nodes()[..3].iter().map(|node| node.decisions()).sum()
}

/// Shares one cluster among all scenarios, since it takes seconds to start. Those that break it come last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster() {
    let mut cluster = RedisCluster::start();
    let patient = connect(&cluster, Duration::from_secs(5)).await;
    the_first_hit_of_a_slot_finds_a_connection(&cluster).await;
    one_call_and_one_slot_a_client(&cluster, &patient).await;
    different_clients_are_all_or_nothing(&patient).await;
    different_clients_at_once_are_never_over_the_limit(&patient).await;
    different_clients_are_given_back_as_of_each(&patient).await;
    a_slot_that_fails_keeps_nothing_from_the_others(&cluster, &patient).await;
    a_silent_slot_keeps_nothing_from_the_others(&cluster).await;
    a_hit_that_one_slot_fails_is_charged_to_nobody(&cluster, &patient).await;
    the_slots_of_a_request_are_asked_at_once(&cluster).await;
    dropped_requests_are_charged_everywhere_or_nowhere(&patient).await;
    errors_name_the_node_that_failed(&cluster, &patient).await;
    slots_move_under_load(&cluster, &patient).await;
    a_node_that_joins_is_followed_to(&mut cluster, &patient).await;
    cluster.settle();
    failover::a_master_dies_and_its_replica_takes_over(&mut cluster).await;
    failover::a_master_and_its_replica_are_gone(&mut cluster).await;
}

/// Even if only one node was named.
async fn the_first_hit_of_a_slot_finds_a_connection(cluster: &RedisCluster) {
    let masters = &cluster.nodes()[..3];
    masters.iter().for_each(RedisServer::reset_stats);
    let named = RedisBackend::builder(&cluster.urls()[0]).cluster([""; 0]);
    let _backend = named.timeout(Duration::from_secs(5)).connect().await.unwrap();
    let reached = async || masters.iter().all(|node| node.commandstats().contains_key("ping"));
    eventually(Duration::from_secs(10), reached).await;
}

async fn one_call_and_one_slot_a_client(cluster: &RedisCluster, backend: &SharedBackend) {
    let stack =
        [throttle("one", 100, backend), throttle("two", 100, backend), throttle("three", 100, backend)];
    for client in 0..60_u64 {
        assert!(hit_all(&stack, client).await.unwrap().is_allowed());
    }
    cluster.nodes()[..3].iter().for_each(|node| node.reset_stats());
    for client in 0..60_u64 {
        assert!(hit_all(&stack, client).await.unwrap().is_allowed());
    }
    assert_eq!(decisions(cluster), 60, "a script call each");
    let held: Vec<_> = cluster.nodes()[..3].iter().map(|node| node.keys()).collect();
    assert!(held.iter().all(|keys| keys.len() > 9), "clients are spread over the masters");
    for client in 0..60 {
        let tag = format!("{{n:{client}}}");
        let homes: Vec<_> =
            held.iter().map(|keys| keys.iter().filter(|key| key.ends_with(&tag)).count()).collect();
        assert_eq!(homes.iter().filter(|keys| **keys == 3).count(), 1, "{tag}: {homes:?}");
    }
    println!("cluster: 60 decisions of 3 throttles, 60 script calls");
}

/// Hits that concern two different clients are decided exactly as the in-memory store decides them.
async fn different_clients_are_all_or_nothing(backend: &SharedBackend) {
    let memory = SharedBackend::from(MemoryBackend::new());
    let on = |backend| [of("user", 7, backend), of("tenant", 20, backend)];
    let (there, here) = (on(backend), on(&memory));
    let mut random = Random::new(5);
    let (mut allowed, mut refused) = (0, 0);
    for _ in 0..400 {
        let [user, tenant] = [format!("user-{}", random.below(9)), format!("tenant-{}", random.below(3))];
        let parts = request("/", &[("user", &user), ("tenant", &tenant)]);
        let (one, other) = (hit_all(&there, &parts).await.unwrap(), hit_all(&here, &parts).await.unwrap());
        let told = |decision: &traffik::Decision| decision.throttled().map(|refused| refused.uid());
        assert_eq!(told(&one), told(&other), "{user} {tenant}");
        if one.is_allowed() {
            allowed += 1
        } else {
            refused += 1
        }
        for (there, here) in there.iter().zip(&here) {
            let used = async |throttle: &Throttle| throttle.stat(&parts).await.unwrap().unwrap().used;
            assert_eq!(used(there).await, used(here).await, "{user} {tenant} {}", there.uid());
        }
    }
    assert!(allowed > 40 && refused > 100, "{allowed} {refused}");
}

async fn different_clients_at_once_are_never_over_the_limit(backend: &SharedBackend) {
    let both = [of("user", 1000, backend), of("tenant", 50, backend)];
    let mut hits = Vec::new();
    for hit in 0..120 {
        let both = both.clone();
        hits.push(tokio::spawn(async move {
            let user = format!("many-{}", hit % 10);
            let parts = request("/", &[("user", &user), ("tenant", "all-at-once")]);
            hit_all(&both, &parts).await.unwrap().is_allowed()
        }));
    }
    let mut allowed = 0;
    for hit in hits {
        allowed += u64::from(hit.await.unwrap());
    }
    let used = async |user: &str, place: usize| {
        let parts = request("/", &[("user", user), ("tenant", "all-at-once")]);
        both[place].stat(&parts).await.unwrap().unwrap().used
    };
    let mut users = 0;
    for user in 0..10 {
        users += used(&format!("many-{user}"), 0).await;
    }
    assert_eq!((allowed, users, used("many-0", 1).await), (50, 50, 50), "whoever was refused paid nothing");
}

/// Different clients are charged one after the other, and the log and queue strategies
/// store the time of each charge.
async fn different_clients_are_given_back_as_of_each(backend: &SharedBackend) {
    let strategies: [Arc<dyn Strategy>; 2] = [Arc::new(SlidingLog::new()), Arc::new(LeakyQueue::new())];
    for strategy in strategies {
        let both = ["user", "tenant"].map(|name| {
            let one = Throttle::builder(format!("given_back:{name}:{}", strategy.name())).rate("10/hour");
            let one = one.registry(&Registry::new()).identifier(header(name)).backend(backend);
            one.strategy(strategy.clone()).build().unwrap()
        });
        for client in 0..20 {
            let (user, tenant) = (format!("user {client}"), format!("tenant {client}"));
            let parts = request("/", &[("user", &user), ("tenant", &tenant)]);
            let quota = QuotaContext::new(&parts);
            both.iter().for_each(|one| quota.add(one, 3));
            assert!(quota.reserve().await.unwrap().is_allowed());
            quota.cancel().await.unwrap();
            for one in &both {
                assert_eq!(one.stat(&parts).await.unwrap().unwrap().used, 0, "{}", one.uid());
            }
        }
    }
}

/// Builds two throttles, and a request whose two clients live on different masters.
fn of_two_masters(cluster: &RedisCluster, backend: &SharedBackend) -> ([Throttle; 2], Parts) {
    let number = |name: &'static str| {
        move |parts: &Parts| Identity::from(parts.headers[name].to_str().unwrap().parse::<u64>().unwrap())
    };
    let both = ["user", "tenant"].map(|name| {
        let one = Throttle::builder(format!("others:{name}")).rate(format!("10/{FOREVER}"));
        one.registry(&Registry::new()).identifier(number(name)).backend(backend).build().unwrap()
    });
    let on = |master: usize| {
        let is_home = |client: &u64| cluster.first_home(cluster.slot(&format!("{{n:{client}}}"))) == master;
        (1000..2000_u64).find(is_home).unwrap().to_string()
    };
    (both, request("/", &[("user", &on(0)), ("tenant", &on(1))]))
}

/// A correction concerns two clients, one of which lives on a master that cannot write.
async fn a_slot_that_fails_keeps_nothing_from_the_others(cluster: &RedisCluster, backend: &SharedBackend) {
    let (both, parts) = of_two_masters(cluster, backend);
    for failing in 0..2 {
        // Without this hit the correction would leave nothing to write: an empty key is
        // removed, which takes no memory.
        assert!(hit_all(&both, &parts).await.unwrap().is_allowed());
        let quota = QuotaContext::new(&parts);
        both.iter().for_each(|one| quota.add(one, 3));
        assert!(quota.reserve().await.unwrap().is_allowed());
        let maxmemory =
            |bytes| cluster.nodes()[failing].command::<()>(&["CONFIG", "SET", "maxmemory", bytes]);
        maxmemory("1");
        let cancelled = quota.cancel().await;
        maxmemory("0");
        assert!(cancelled.is_err(), "that of {failing} was given back by nobody");
        for (place, one) in both.iter().enumerate() {
            let used = one.stat(&parts).await.unwrap().unwrap().used;
            assert_eq!(used, if place == failing { 4 } else { 1 }, "{failing} fails: {}", one.uid());
            one.reset(&parts).await.unwrap();
        }
    }
}

/// The same, but one master does not answer at all before the deadline.
async fn a_silent_slot_keeps_nothing_from_the_others(cluster: &RedisCluster) {
    let backend = connect(cluster, Duration::from_millis(300)).await;
    let (both, parts) = of_two_masters(cluster, &backend);
    for silent in 0..2 {
        let quota = QuotaContext::new(&parts);
        both.iter().for_each(|one| quota.add(one, 3));
        assert!(quota.reserve().await.unwrap().is_allowed());
        cluster.nodes()[silent].pause();
        let cancelled = quota.cancel().await;
        cluster.nodes()[silent].resume();
        assert!(cancelled.is_err(), "{silent} said nothing");
        let other = both[1 - silent].stat(&parts).await.unwrap().unwrap();
        assert_eq!(other.used, 0, "{silent} is silent");
        for one in &both {
            eventually(Duration::from_secs(5), async || one.reset(&parts).await.is_ok()).await;
        }
    }
}

/// A hit concerns two clients, and the master of one can be asked but cannot write.
async fn a_hit_that_one_slot_fails_is_charged_to_nobody(cluster: &RedisCluster, backend: &SharedBackend) {
    let (both, parts) = of_two_masters(cluster, backend);
    for failing in &cluster.nodes()[..2] {
        let maxmemory = |bytes| failing.command::<()>(&["CONFIG", "SET", "maxmemory", bytes]);
        maxmemory("1");
        let failed = hit_all(&both, &parts).await;
        maxmemory("0");
        assert!(failed.is_err(), "one of them was not charged");
        for one in &both {
            assert_eq!(one.stat(&parts).await.unwrap().unwrap().used, 0, "{}", one.uid());
        }
    }
}

/// Before anything is charged, so that several clients take the time of one.
async fn the_slots_of_a_request_are_asked_at_once(cluster: &RedisCluster) {
    let backend = connect(cluster, Duration::from_millis(300)).await;
    let (both, parts) = of_two_masters(cluster, &backend);
    for silent in 0..2 {
        let other = &cluster.nodes()[1 - silent];
        let before = other.decisions();
        cluster.nodes()[silent].pause();
        let failed = hit_all(&both, &parts).await;
        cluster.nodes()[silent].resume();
        assert!(failed.is_err(), "{silent} said nothing");
        assert_eq!(other.decisions() - before, 1, "the other was asked while {silent} was silent");
        for one in &both {
            eventually(Duration::from_secs(5), async || one.reset(&parts).await.is_ok()).await;
        }
    }
}

/// Requests that concern two clients each, dropped by their callers at various points.
async fn dropped_requests_are_charged_everywhere_or_nowhere(backend: &SharedBackend) {
    let both = [of("user", 1_000_000, backend), of("tenant", 1_000_000, backend)];
    let parts = request("/", &[("user", "gone"), ("tenant", "gone-too")]);
    let (mut allowed, mut dropped) = (0, 0);
    for hit in 0..400 {
        // A request takes about four calls of a fifth of a millisecond each.
        let patience = Duration::from_micros(hit * 5);
        match tokio::time::timeout(patience, async { hit_all(&both, &parts).await }).await {
            Ok(decision) => allowed += u64::from(decision.unwrap().is_allowed()),
            Err(_) => dropped += 1,
        }
    }
    let used = async |throttle: &Throttle| throttle.stat(&parts).await.unwrap().unwrap().used;
    // Refunds are made in the background.
    let settled = async || used(&both[0]).await == allowed && used(&both[1]).await == allowed;
    eventually(Duration::from_secs(5), settled).await;
    assert!(dropped > 20, "{dropped}");
    println!(
        "cluster: of 400 requests of two clients {dropped} were dropped half-way and charged to neither"
    );
}

async fn slots_move_under_load(cluster: &RedisCluster, backend: &SharedBackend) {
    let stack = [throttle("moving", 1_000_000, backend), throttle("along", 1_000_000, backend)];
    // Clients on every master. The slot of each is moved to the next master, and then to the one after.
    let clients: Vec<u64> = (0..6).collect();
    let home = |client: &u64| cluster.first_home(cluster.slot(&format!("{{n:{client}}}")));
    assert!((0..3).all(|master| clients.iter().any(|client| home(client) == master)));
    for client in &clients {
        assert!(hit_all(&stack, *client).await.unwrap().is_allowed());
    }
    let load = Load::start(&stack, &clients, Duration::from_secs(5));
    tokio::task::block_in_place(|| {
        for client in &clients {
            for step in 0..2 {
                let (from, to) = ((home(client) + step) % 3, (home(client) + step + 1) % 3);
                let slot = cluster.slot(&format!("{{n:{client}}}"));
                cluster.reshard(slot, from, to, || std::thread::sleep(Duration::from_millis(50)));
            }
        }
    });
    let counts = load.end().await;
    let mut allowed = 0;
    for count in counts {
        assert_eq!(count.failed, 0, "a slot on the move is followed: {count:?}");
        for throttle in &stack {
            let used = throttle.stat(count.client).await.unwrap().unwrap().used;
            assert_eq!(used, count.allowed + 1, "{count:?}");
        }
        allowed += count.allowed;
    }
    println!("cluster: {} slots moved twice; {allowed} hits allowed, 0 failed", clients.len());
}

/// A slot is moved to a master that no answer has named so far.
async fn a_node_that_joins_is_followed_to(cluster: &mut RedisCluster, backend: &SharedBackend) {
    let (throttle, client) = (throttle("joined", 10, backend), 1_000_000_u64);
    assert!(throttle.hit(client).await.unwrap().is_allowed());
    let new = tokio::task::block_in_place(|| cluster.join());
    let slot = cluster.slot(&format!("{{n:{client}}}"));
    let home = cluster.first_home(slot);
    for (from, to, used) in [(home, new, 2), (new, home, 3)] {
        tokio::task::block_in_place(|| cluster.reshard(slot, from, to, || {}));
        assert!(throttle.hit(client).await.unwrap().is_allowed());
        assert_eq!(throttle.stat(client).await.unwrap().unwrap().used, used, "from {from} to {to}");
    }
}
