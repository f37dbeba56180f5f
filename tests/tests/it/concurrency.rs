//! Exactly the limit is admitted, however many ask at once: tasks, connections, processes.

use std::process::{Command, Stdio};
use std::sync::Arc;

use traffik::strategy::{FixedWindow, Gcra, Strategy, TokenBucket};
use traffik::{Throttle, hit_all};
use traffik_tests::RedisServer;

use crate::support::{FOREVER, patient, throttle};

fn strategies() -> [(&'static str, Arc<dyn Strategy>); 3] {
    [
        ("fixed_window", Arc::new(FixedWindow::new())),
        ("token_bucket", Arc::new(TokenBucket::new())),
        ("gcra", Arc::new(Gcra::new().burst(500))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_over_several_connections() {
    let server = RedisServer::start();
    for (name, strategy) in strategies() {
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let backend = patient(&server).await;
            let rate = format!("500/{FOREVER}");
            let throttle = throttle(name, &rate).strategy(strategy.clone()).backend(backend).build().unwrap();
            for _ in 0..8 {
                let throttle = throttle.clone();
                tasks.push(tokio::spawn(async move {
                    let mut admitted = 0;
                    for _ in 0..25 {
                        admitted += u32::from(throttle.hit("everyone").await.unwrap().is_allowed());
                    }
                    admitted
                }));
            }
        }
        let mut admitted = 0;
        for task in tasks {
            admitted += task.await.unwrap();
        }
        assert_eq!(admitted, 500, "{name}: 800 hits on a limit of 500");
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

#[test]
fn several_processes() {
    let server = RedisServer::start();
    for (name, _) in strategies() {
        let processes: Vec<_> = (0..4)
            .map(|_| {
                Command::new(env!("CARGO_BIN_EXE_hammer"))
                    .args([&server.url(), name, &format!("500/{FOREVER}"), name, "200"])
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut admitted = 0;
        for process in processes {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success(), "{name}");
            admitted += String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().unwrap();
        }
        assert_eq!(admitted, 500, "{name}: 800 hits of four processes on a limit of 500");
    }
}
