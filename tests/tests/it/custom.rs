//! A custom strategy on Redis: compare-and-swap, and all or nothing like any other.

use traffik::strategy::{Ask, FixedWindow, Op, State, Strategy, Verdict};
use traffik::{Rate, SharedBackend, Throttle, hit_all};
use traffik_tests::RedisServer;

use crate::support::{FOREVER, mirrored, patient, throttle, used};

/// A limit on the total number of hits, ever. Keeps its count in bytes of its own or, for
/// comparison, like a window does.
#[derive(Debug, Clone, Copy)]
struct Lifetime {
    bytes: bool,
}

impl Strategy for Lifetime {
    fn name(&self) -> &str {
        if self.bytes { "lifetime-bytes" } else { "lifetime" }
    }

    fn validate(&self, _: &Rate) -> Result<(), String> {
        Ok(())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let used = match &*state {
            State::Words([_, used]) => *used,
            State::Bytes(bytes) => bytes.as_slice().try_into().map_or(0, u64::from_be_bytes),
            State::Empty => 0,
        };
        let limit = ask.rate.limit();
        let (admitted, after) = match ask.op {
            Op::Hit | Op::Check => match used.checked_add(ask.cost).filter(|sum| *sum <= limit) {
                Some(sum) => (true, sum),
                None => (false, used),
            },
            Op::Refund { .. } => (true, used.saturating_sub(ask.cost)),
            Op::Reset => (true, 0),
            _ => (true, used),
        };
        if ask.op.changes() && admitted {
            *state = match after {
                0 => State::Empty,
                _ if self.bytes => State::Bytes(after.to_be_bytes().into()),
                _ => State::Words([1, after]),
            };
        }
        let shown = if ask.op == Op::Check { used } else { after };
        Verdict {
            admitted,
            limit,
            used: shown,
            remaining: limit - shown,
            wait: if admitted { 0 } else { Verdict::NEVER },
            reset_after: 0,
            keep_for: ask.rate.period_micros(),
        }
    }
}

fn build(uid: &str, limit: u32, bytes: bool, backend: &SharedBackend) -> Throttle {
    throttle(uid, &format!("{limit}/{FOREVER}"))
        .strategy(Lifetime { bytes })
        .backend(backend)
        .build()
        .unwrap()
}

#[tokio::test]
async fn is_counted_like_in_memory() {
    let server = RedisServer::start();
    for bytes in [false, true] {
        let (_, mirror) = mirrored(&server).await;
        let mine = build("mine", 10, bytes, &mirror);

        assert_eq!(mine.hit("ann").cost(4).await.unwrap().stat().unwrap().used, 4);
        assert!(!mine.hit("ann").cost(7).await.unwrap().is_allowed());
        assert!(mine.check("ann").cost(6).await.unwrap().is_allowed());
        mine.refund("ann", 1).await.unwrap();
        assert_eq!(mine.hit("ann").cost(7).await.unwrap().stat().unwrap().remaining, 0);
        mine.reset("ann").await.unwrap();
        assert_eq!(used(&mine).await, 0);
        assert_eq!(server.keys(), Vec::<String>::new());

        let pair = [build("narrow", 2, bytes, &mirror), build("wide", 9, bytes, &mirror)];
        for round in 0..4 {
            assert_eq!(hit_all(&pair, "ann").await.unwrap().is_allowed(), round < 2);
        }
        assert_eq!(used(&pair[1]).await, 2, "a refusal charged nothing");
    }
}

#[tokio::test]
async fn replaces_garbage_and_expires() {
    let server = RedisServer::start();
    let mine = build("mine", 10, true, &patient(&server).await);
    assert!(mine.hit("ann").await.unwrap().is_allowed());
    let key = server.keys().pop().unwrap();
    for command in [&["SET", &key, "garbage"][..], &["SET", &key, ""], &["RPUSH", &key, "a"]] {
        server.command::<()>(&["DEL", &key]);
        server.command::<redis::Value>(command);
        assert_eq!(mine.hit("ann").await.unwrap().stat().unwrap().used, 1, "{command:?}");
        assert!(server.command::<i64>(&["PTTL", &key]) > 0);
    }
}

#[tokio::test]
async fn beside_a_built_in_one_is_all_or_nothing_too() {
    let server = RedisServer::start();
    let backend = patient(&server).await;
    let built_in = |limit| {
        let rate = format!("{limit}/{FOREVER}");
        throttle("window", &rate).strategy(FixedWindow::new()).backend(&backend).build().unwrap()
    };
    for (window, mine) in
        [(built_in(2), build("mine", 9, true, &backend)), (built_in(9), build("mine", 2, true, &backend))]
    {
        for turned in [false, true] {
            let order = if turned { [&mine, &window] } else { [&window, &mine] };
            let narrow = if mine.rate().unwrap().limit() == 2 { "mine" } else { "window" };
            for _ in 0..2 {
                assert!(hit_all(order, "ann").await.unwrap().is_allowed());
            }
            for _ in 0..2 {
                assert_eq!(hit_all(order, "ann").await.unwrap().throttled().unwrap().uid(), narrow);
            }
            for throttle in order {
                assert_eq!(used(throttle).await, 2, "refusals charged nothing");
            }
            server.command::<()>(&["FLUSHALL"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exact_under_contention() {
    let server = RedisServer::start();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mine = build("mine", 60, true, &patient(&server).await);
        tasks.push(tokio::spawn(async move {
            let (mut admitted, mut refused) = (0, 0);
            while refused < 5 {
                match mine.hit("everyone").await {
                    Ok(decision) if decision.is_allowed() => admitted += 1,
                    Ok(_) => refused += 1,
                    // Too much contention, in which case nothing was charged.
                    Err(error) => assert!(error.is_backend() && !error.is_timeout(), "{error}"),
                }
            }
            admitted
        }));
    }
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.unwrap();
    }
    assert_eq!(admitted, 60);
}
