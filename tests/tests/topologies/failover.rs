//! Cluster masters that die, hang, or disappear together with their replica.

use std::time::{Duration, Instant};

use tokio::task::block_in_place;
use traffik_tests::{RedisCluster, eventually, timed};

use crate::cluster::connect;
use crate::load::{DEADLINE, Load, Sum, all_counted, exact, stack};
use crate::table;

/// Returns some clients of every master, and a function from a client to its original master.
fn clients(cluster: &RedisCluster) -> (Vec<u64>, impl Fn(u64) -> usize + use<>) {
    let clients: Vec<u64> = (100..112).collect();
    let homes: Vec<_> =
        clients.iter().map(|client| cluster.first_home(cluster.slot(&format!("{{n:{client}}}")))).collect();
    assert!((0..3).all(|master| homes.contains(&master)), "{homes:?}");
    (clients, move |client| homes[(client - 100) as usize])
}

/// Runs on a cluster whose slots have been moved, and which serves nobody while some slots have no master
/// (`cluster-require-full-coverage`, on by default).
pub(crate) async fn a_master_dies_and_its_replica_takes_over(cluster: &mut RedisCluster) {
    let backend = connect(cluster, DEADLINE).await;
    let stack = stack(&backend);
    let (clients, home) = clients(cluster);
    let load = Load::start(&stack, &clients, DEADLINE);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    cluster.kill(0);
    block_in_place(|| cluster.wait_until_promoted(3));
    all_counted(&stack, &clients).await;
    let after = began.elapsed();
    for client in 200..209 {
        exact(&backend, client).await;
    }
    let counts = load.end().await;
    table::put("a master of a cluster killed", &Sum::of(&counts), after);
    assert!(counts.iter().any(|count| home(count.client) == 0 && count.failed > 0), "nobody noticed");
    for count in counts.iter().filter(|count| home(count.client) != 0) {
        // Every hit that was allowed was counted, and failed ones may have been, too. These clients' masters
        // did not fail over, so nothing was lost. The hits of `all_counted` are included in `used`.
        let used = stack[0].stat(count.client).await.unwrap().unwrap().used;
        assert!(used >= count.allowed, "allowed and not counted: {count:?}, {used} used");
    }
    // As soon as the cluster answers, counting is exact, also for a new client whose first node is behind.
    let fresh = connect(cluster, Duration::from_secs(5)).await;
    for client in 210..219 {
        exact(&fresh, client).await;
    }
}

/// No node serves a third of the slots, so the cluster serves nobody. That is an outage:
/// neither a refusal nor a free pass.
pub(crate) async fn a_master_and_its_replica_are_gone(cluster: &mut RedisCluster) {
    let backend = connect(cluster, DEADLINE).await;
    let stack = stack(&backend);
    let (clients, _) = clients(cluster);
    let load = Load::start(&stack, &clients, DEADLINE);
    // The replica that was promoted in place of the first master.
    cluster.kill(3);
    let down = |node: &traffik_tests::RedisServer| {
        node.command::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:fail")
    };
    let nodes = [1, 2];
    eventually(Duration::from_secs(15), async || nodes.iter().all(|node| down(&cluster.nodes()[*node])))
        .await;
    for client in &clients {
        let (result, _) = timed(DEADLINE, stack[0].hit(*client)).await;
        assert!(result.as_ref().is_err_and(traffik::Error::is_backend), "{client}: {result:?}");
    }
    cluster.resurrect(3);
    cluster.resurrect(0);
    let began = Instant::now();
    block_in_place(|| cluster.wait_until_whole());
    all_counted(&stack, &clients).await;
    let after = began.elapsed();
    for client in 220..229 {
        exact(&backend, client).await;
    }
    let counts = load.end().await;
    table::put("a master and its replica killed, and started again", &Sum::of(&counts), after);
}

/// Runs on a cluster that keeps serving slots that have a master. Their clients must not notice anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_stops_and_its_replica_takes_over_under_load() {
    let cluster = RedisCluster::start_with(&["--cluster-require-full-coverage", "no"]);
    let backend = connect(&cluster, DEADLINE).await;
    let stack = stack(&backend);
    let (clients, home) = clients(&cluster);
    // A generous timeout, so that a busy machine does not count as a failure.
    let patient = crate::load::stack(&connect(&cluster, Duration::from_secs(5)).await);
    let healthy: Vec<_> = clients.iter().copied().filter(|client| home(*client) != 0).collect();
    let load = Load::start(&stack, &clients, DEADLINE);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    cluster.nodes()[0].pause();
    let healthy = Load::start(&patient, &healthy, Duration::from_secs(5));
    block_in_place(|| cluster.wait_until_promoted(3));
    let healthy = healthy.end().await;
    all_counted(&stack, &clients).await;
    let after = began.elapsed();
    for count in healthy {
        // They hit every few milliseconds for at least a second. A client that had to wait for the hung
        // master could not reach this count.
        assert!(count.failed == 0 && count.allowed >= 20, "another master's client: {count:?}");
    }
    for client in 200..209 {
        exact(&backend, client).await;
    }
    // The old master returns as a replica of its former replica. Clients that reach it
    // before it knows are redirected.
    cluster.nodes()[0].resume();
    cluster.wait_until_whole();
    for client in 210..219 {
        exact(&backend, client).await;
    }
    let counts = load.end().await;
    table::put("a master of a cluster stopped (`SIGSTOP`)", &Sum::of(&counts), after);
    assert!(counts.iter().any(|count| home(count.client) == 0 && count.failed > 0), "nobody noticed");
}
