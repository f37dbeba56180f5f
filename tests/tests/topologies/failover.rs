//! Masters of a cluster that die, stop, or are gone with their replica.

use std::time::Duration;

use traffik_tests::{RedisCluster, eventually, timed};

use crate::cluster::connect;
use crate::load::{Count, DEADLINE, Load, Sum, all_counted, exact, stack};

/// Some clients of every master.
fn clients(cluster: &RedisCluster) -> (Vec<u64>, impl Fn(&Count) -> usize + use<>) {
    let clients: Vec<u64> = (100..112).collect();
    let homes: Vec<_> =
        clients.iter().map(|client| cluster.first_home(cluster.slot(&format!("{{n:{client}}}")))).collect();
    assert!((0..3).all(|master| homes.contains(&master)), "{homes:?}");
    (clients, move |count| homes[(count.client - 100) as usize])
}

/// On a cluster whose slots have been moved about, and which answers nobody while some slots are
/// without a master (`cluster-require-full-coverage`, as it is by default).
pub(crate) async fn a_master_dies_and_its_replica_takes_over(cluster: &mut RedisCluster) {
    let backend = connect(cluster, DEADLINE).await;
    let stack = stack(&backend);
    let (clients, home) = clients(cluster);
    let load = Load::start(&stack, &clients, DEADLINE);
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.kill(0);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = all_counted(&stack, &clients, Duration::from_secs(15)).await;
    for client in 200..209 {
        exact(&backend, client).await;
    }
    let counts = load.end().await;
    Sum::of(&counts).print("cluster: a master killed", after);
    assert!(counts.iter().any(|count| home(count) == 0 && count.failed > 0), "nobody noticed");
    for count in counts.iter().filter(|count| home(count) != 0) {
        // Whatever was allowed was counted, and what failed may have been. Their replica has not
        // lost anything, since it was not needed. The hits of `all_counted` are among the used.
        let used = stack[0].stat(count.client).await.unwrap().unwrap().used;
        assert!(used >= count.allowed, "allowed and not counted: {count:?}, {used} used");
    }
    // As soon as somebody answers, also for whoever comes new and asks a node that is behind.
    let fresh = connect(cluster, Duration::from_secs(5)).await;
    for client in 210..219 {
        exact(&fresh, client).await;
    }
}

/// Nobody serves a third of the slots, so nobody is served: an outage, which is no denial, and
/// nobody's free pass.
pub(crate) async fn a_master_and_its_replica_are_gone(cluster: &mut RedisCluster) {
    let backend = connect(cluster, DEADLINE).await;
    let stack = stack(&backend);
    let (clients, _) = clients(cluster);
    let load = Load::start(&stack, &clients, DEADLINE);
    // The one that was promoted in place of the first.
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
    let after = all_counted(&stack, &clients, Duration::from_secs(30)).await;
    for client in 220..229 {
        exact(&backend, client).await;
    }
    let counts = load.end().await;
    Sum::of(&counts).print("cluster: a master and its replica killed and started again", after);
}

/// On a cluster that goes on serving the slots that have a master: their clients notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_stops_and_its_replica_takes_over_under_load() {
    let cluster = RedisCluster::start_with(&["--cluster-require-full-coverage", "no"]);
    let backend = connect(&cluster, DEADLINE).await;
    let stack = stack(&backend);
    let (clients, home) = clients(&cluster);
    let load = Load::start(&stack, &clients, DEADLINE);
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.nodes()[0].pause();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = all_counted(&stack, &clients, Duration::from_secs(15)).await;
    for client in 200..209 {
        exact(&backend, client).await;
    }
    // Back as a replica of what was its own. Whoever it answers before it knows is sent on.
    cluster.nodes()[0].resume();
    cluster.wait_until_whole();
    for client in 210..219 {
        exact(&backend, client).await;
    }
    let counts = load.end().await;
    Sum::of(&counts).print("cluster: a master stopped (SIGSTOP)", after);
    assert!(counts.iter().any(|count| home(count) == 0 && count.failed > 0), "nobody noticed");
    for count in counts.iter().filter(|count| home(count) != 0) {
        assert_eq!(count.failed, 0, "another master's client: {count:?}");
    }
}
