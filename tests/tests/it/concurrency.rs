//! Exactly the limit is admitted, however many tasks, connections and processes ask at once.

use std::process::{Command, Stdio};

use traffik::strategy::TokenBucket;
use traffik::{Settled, Throttle, hit_all};
use traffik_tests::{RedisServer, insist, strategies};

use crate::support::{FOREVER, memory, patient, throttle};

/// The capacity of an account, of which nothing is replenished during a test.
const LIMIT: u64 = 200;

/// The number of hits by each of four workers: more than any of the strategies admits.
const EACH: usize = 80;

/// Returns what the client may use in total, queried before anything is charged.
async fn full(server: &RedisServer, name: &str) -> u64 {
    let (_, strategy) = strategies(LIMIT).into_iter().find(|(other, _)| *other == name).unwrap();
    let builder = throttle(name, &format!("{LIMIT}/{FOREVER}")).strategy(strategy);
    let throttle = builder.backend(patient(server).await).build().unwrap();
    let full = throttle.stat("everyone").await.unwrap().unwrap().remaining;
    assert!((50..4 * EACH as u64).contains(&full), "{name}: {full}");
    full
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_over_several_connections() {
    let server = RedisServer::start();
    for (name, strategy) in strategies(LIMIT) {
        let full = full(&server, name).await;
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let backend = patient(&server).await;
            let rate = format!("{LIMIT}/{FOREVER}");
            let throttle = throttle(name, &rate).strategy(strategy.clone()).backend(backend).build().unwrap();
            for _ in 0..4 {
                let throttle = throttle.clone();
                tasks.push(tokio::spawn(async move {
                    let mut admitted = 0;
                    for _ in 0..EACH / 4 {
                        admitted += u64::from(insist(&throttle, "everyone").await.unwrap());
                    }
                    admitted
                }));
            }
        }
        let mut admitted = 0;
        for task in tasks {
            admitted += task.await.unwrap();
        }
        assert_eq!(admitted, full, "{name}: of {} hits", 4 * EACH);
    }
}

/// Threads on the in-memory store, which also reserve and settle at the same time.
#[test]
fn threads() {
    for (name, strategy) in strategies(LIMIT) {
        let (_, backend) = memory();
        let rate = format!("{LIMIT}/{FOREVER}");
        let throttle = throttle(name, &rate).strategy(strategy).backend(backend).build().unwrap();
        let run = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let used = || run().block_on(async { throttle.stat("everyone").await }).unwrap().unwrap().used;
        let full = run().block_on(async { throttle.stat("everyone").await }).unwrap().unwrap().remaining;
        // While there is room for everyone, charges that are given back leave no trace.
        let threads = |each: &(dyn Fn() -> u64 + Sync)| -> u64 {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(each)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            })
        };
        let settled = threads(&|| {
            run().block_on(async {
                for round in 0..200 {
                    let held = throttle.reserve("everyone").cost(3).await.unwrap();
                    if round % 2 == 0 {
                        assert_eq!(held.settle(0).await.unwrap(), Settled::InFull);
                    } else {
                        held.cancel().await.unwrap();
                    }
                }
                throttle.reserve("everyone").cost(3).await.unwrap().settle(5).await.unwrap();
                5
            })
        });
        assert_eq!(used(), settled, "{name}: settled by four threads at once");
        let hits = threads(&|| {
            run().block_on(async {
                let mut admitted = 0;
                for _ in 0..EACH {
                    admitted += u64::from(throttle.hit("everyone").await.unwrap().is_allowed());
                }
                admitted
            })
        });
        assert_eq!(hits, full - settled, "{name}: of {} hits of four threads", 4 * EACH);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stacked_throttles_charge_together() {
    let server = RedisServer::start();
    let mut tasks = Vec::new();
    let build = async || -> [Throttle; 2] {
        let backend = patient(&server).await;
        [("wide", 500), ("narrow", 120)].map(|(uid, limit)| {
            throttle(uid, &format!("{limit}/{FOREVER}"))
                .strategy(TokenBucket::new().burst(limit))
                .backend(&backend)
                .build()
                .unwrap()
        })
    };
    for _ in 0..4 {
        let throttles = build().await;
        for _ in 0..4 {
            let throttles = throttles.clone();
            tasks.push(tokio::spawn(async move {
                let mut admitted = 0;
                for _ in 0..25 {
                    admitted += u64::from(hit_all(&throttles, "everyone").await.unwrap().is_allowed());
                }
                admitted
            }));
        }
    }
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.unwrap();
    }
    assert_eq!(admitted, 120);
    let [wide, narrow] = build().await;
    assert_eq!(wide.stat("everyone").await.unwrap().unwrap().used, 120, "refusals charged nothing");
    assert_eq!(narrow.stat("everyone").await.unwrap().unwrap().used, 120);
}

#[tokio::test]
async fn several_processes() {
    let server = RedisServer::start();
    for (name, _) in strategies(LIMIT) {
        let full = full(&server, name).await;
        let processes: Vec<_> = (0..4)
            .map(|_| {
                Command::new(env!("CARGO_BIN_EXE_hammer"))
                    .args([&server.url(), name, &format!("{LIMIT}/{FOREVER}"), name, &EACH.to_string()])
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut admitted = 0;
        for process in processes {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success(), "{name}");
            admitted += String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap();
        }
        assert_eq!(admitted, full, "{name}: of {} hits of four processes", 4 * EACH);
    }
}
