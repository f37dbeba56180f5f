//! Measures Redis calls, against a bare `EVALSHA` of the same script with the same arguments, and against `INCR`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use traffik::strategy::Gcra;
use traffik::{RedisBackend, Registry, SharedBackend, Throttle, hit_all};
use traffik_tests::RedisServer;

use crate::measure::{Side, Spread, rounds};
use crate::report::{Report, Target};

/// The number of requests in flight at once.
const IN_FLIGHT: usize = 64;
/// Calls of one side per round. There are many short rounds, because the server and its clients share the machine with
/// others.
const CALLS: usize = 6_400;
const ROUNDS: usize = 45;

type Failed = Box<dyn std::error::Error>;

pub fn run(report: &mut Report) {
    if std::process::Command::new("redis-server").arg("--version").output().is_err() {
        return report.unmeasured("Redis: redis-server is not installed");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let Ok(runtime) = runtime else { return report.unmeasured("Redis: no runtime could be started") };
    let server = RedisServer::start();
    if let Err(error) = commands(report, &runtime, &server) {
        report.unmeasured(format!("Redis, commands per request: {error}"));
    }
    if let Err(error) = throughput(report, &runtime, &server) {
        report.unmeasured(format!("Redis, throughput: {error}"));
    }
    if let Err(error) = denials(report, &runtime, &server) {
        report.unmeasured(format!("Redis, remembered denials: {error}"));
    }
}

fn throttle(uid: &str, rate: &str, burst: u64, backend: &SharedBackend) -> Result<Throttle, traffik::Error> {
    let builder = Throttle::builder(uid).rate(rate).strategy(Gcra::new().burst(burst));
    builder.backend(backend).registry(&Registry::new()).build()
}

fn commands(
    report: &mut Report,
    runtime: &tokio::runtime::Runtime,
    server: &RedisServer,
) -> Result<(), Failed> {
    let backend: SharedBackend = runtime.block_on(RedisBackend::connect(server.url()))?.into();
    let stack: Result<Vec<_>, _> =
        (0..5).map(|place| throttle(&format!("depth:{place}"), "1000/s", 1000, &backend)).collect();
    let stack = stack?;
    let mut each = Vec::new();
    for depth in 1..=5 {
        let _ = runtime.block_on(hit_all(&stack[..depth], "one"))?;
        server.reset_stats();
        for _ in 0..100 {
            let _ = runtime.block_on(hit_all(&stack[..depth], "one"))?;
        }
        let calls = server.commandstats();
        let sent: u64 =
            calls.iter().filter(|(name, _)| name.starts_with("eval")).map(|(_, calls)| calls).sum();
        each.push(sent as f64 / 100.0);
    }
    let work = "Redis: commands per request, 1 to 5 stacked throttles";
    report.figures(work, Spread::of(each), "", Target::Exactly(1.0));
    Ok(())
}

/// Returns the words of the single script call that a hit makes, as the server sees them.
fn overheard(
    runtime: &tokio::runtime::Runtime,
    server: &RedisServer,
    throttle: &Throttle,
) -> Result<Vec<String>, Failed> {
    let mut monitor = TcpStream::connect(("127.0.0.1", server.port()))?;
    monitor.write_all(b"MONITOR\r\n")?;
    let mut lines = BufReader::new(monitor).lines();
    lines.next().ok_or("no answer to MONITOR")??;
    let _ = runtime.block_on(async { throttle.hit("client").await })?;
    for line in lines {
        // 1700000000.123456 [0 127.0.0.1:4000] "EVALSHA" "…" …
        let line = line?;
        let words: Vec<String> = line.split('"').skip(1).step_by(2).map(String::from).collect();
        if words.first().is_some_and(|word| word.eq_ignore_ascii_case("evalsha")) {
            return Ok(words);
        }
    }
    Err("the server closed the connection".into())
}

/// Returns nanoseconds per call, with [`IN_FLIGHT`] calls in flight at once.
fn flight<F, Fut>(runtime: &tokio::runtime::Runtime, calls: usize, call: F) -> f64
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = bool> + Send,
{
    let start = Instant::now();
    runtime.block_on(async {
        let each = calls / IN_FLIGHT;
        let one = |call: F| async move {
            for _ in 0..each {
                assert!(call().await, "the bench's calls are answered as expected");
            }
        };
        let tasks: Vec<_> = (0..IN_FLIGHT).map(|_| tokio::spawn(one(call.clone()))).collect();
        for task in tasks {
            task.await.expect("a call that fails stops the bench");
        }
    });
    start.elapsed().as_nanos() as f64 / calls as f64
}

fn throughput(
    report: &mut Report,
    runtime: &tokio::runtime::Runtime,
    server: &RedisServer,
) -> Result<(), Failed> {
    let backend: SharedBackend = runtime.block_on(RedisBackend::connect(server.url()))?.into();
    let throttle = throttle("flight", "1000000000/s", 1000, &backend)?;
    let words = overheard(runtime, server, &throttle)?;
    let client = redis::Client::open(server.url())?;
    let connection: MultiplexedConnection = runtime.block_on(client.get_multiplexed_async_connection())?;
    let raw = |words: Vec<String>| {
        let connection = connection.clone();
        move || {
            let (mut connection, words) = (connection.clone(), words.clone());
            async move {
                let mut command = redis::cmd(&words[0]);
                command.arg(&words[1..]);
                command.query_async::<redis::Value>(&mut connection).await.is_ok()
            }
        }
    };
    let ours = move || {
        let throttle = throttle.clone();
        async move { throttle.hit("client").await.is_ok_and(|decision| decision.is_allowed()) }
    };
    let (same, incr) = (raw(words), raw(vec!["INCR".into(), "flight".into()]));
    let sides: [Side<'_>; 3] = [
        Box::new(|| flight(runtime, CALLS, ours.clone())),
        Box::new(|| flight(runtime, CALLS, same.clone())),
        Box::new(|| flight(runtime, CALLS, incr.clone())),
    ];
    let times = rounds(ROUNDS, sides);
    // Throughput is the reciprocal of time, so the ratio is inverted.
    let against = |place: usize| Spread::of(times.iter().map(|round| round[place] / round[0]));
    let work = "Redis, 64 in flight: throughput against a bare EVALSHA of the same script";
    report.figures(work, against(1), " ×", Target::AtLeast(0.9));
    report.figures("the same against INCR, for reference", against(2), " ×", Target::None);
    let ours = Spread::of(times.iter().map(|round| 1e9 / round[0]));
    report.figures("hits per second, for reference", ours, "", Target::None);
    Ok(())
}

fn denials(
    report: &mut Report,
    runtime: &tokio::runtime::Runtime,
    server: &RedisServer,
) -> Result<(), Failed> {
    let plain: SharedBackend = runtime.block_on(RedisBackend::connect(server.url()))?.into();
    let builder = RedisBackend::builder(server.url()).remember_denials(10_000);
    let remembering: SharedBackend = runtime.block_on(builder.connect())?.into();
    let attacked = |uid: &str, backend: &SharedBackend| -> Result<_, Failed> {
        let throttle = throttle(uid, "1/day", 1, backend)?;
        let _ = runtime.block_on(async { throttle.hit("attacker").await })?;
        Ok(move || {
            let throttle = throttle.clone();
            async move { throttle.hit("attacker").await.is_ok_and(|decision| !decision.is_allowed()) }
        })
    };
    let (with, without) = (attacked("with", &remembering)?, attacked("without", &plain)?);
    let sides: [Side<'_>; 2] = [
        Box::new(|| flight(runtime, CALLS, with.clone())),
        Box::new(|| flight(runtime, CALLS, without.clone())),
    ];
    let times = rounds(ROUNDS, sides);
    let gain = Spread::of(times.iter().map(|[with, without]| without / with));
    let work = "Redis, throughput for an attacked client, remembered denials against none";
    report.figures(work, gain, " ×", Target::AtLeast(20.0));
    Ok(())
}
