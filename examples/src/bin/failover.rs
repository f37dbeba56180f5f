//! Keeps the service running when Redis stops answering: a circuit breaker opens, this process counts
//! meanwhile, and Redis counts again once it is back.
//!
//! Run with `cargo run -p traffik-examples --bin failover`, which starts its own `redis-server` and
//! pauses it on request. Then
//!
//! ```sh
//! curl -i localhost:3000/data              # the breaker is closed, 19 are left
//! curl -X POST localhost:3000/redis/pause  # Redis hangs from now on: connected, but silent
//!
//! # Three requests wait for Redis, a quarter of a second each. Then the breaker is open, and no request waits.
//! # All of them are counted in memory: twenty pass, the next is refused.
//! for i in $(seq 21); do curl -s -o /dev/null -w '%{http_code} in %{time_total} s\n' localhost:3000/data; done
//! curl localhost:3000/breaker              # open; half-open from two seconds after it opened
//!
//! curl -X POST localhost:3000/redis/resume
//! sleep 2
//! curl -i localhost:3000/data              # the breaker is closed; Redis did not count the twenty requests
//! ```
//!
//! The log on standard error shows when the breaker opens and closes. With
//! `REDIS_URL=redis://127.0.0.1:6379` in front, the example counts on that server, and stopping it is up to
//! you.

use std::error::Error;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, extract::Path};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use traffik::{BreakerState, CircuitBreaker, MemoryBackend, OnError, RedisBackend, Traffik, throttle};

/// Opens after three consecutive failures, and lets one request try again after two seconds.
static BREAKER: LazyLock<CircuitBreaker> = LazyLock::new(|| {
    CircuitBreaker::builder().failure_threshold(3).cool_down(Duration::from_secs(2)).build()
});

#[throttle("data", rate = "20/min")]
async fn data() -> &'static str {
    breaker().await
}

async fn breaker() -> &'static str {
    match BREAKER.state() {
        BreakerState::Closed => "the breaker is closed: Redis counts\n",
        BreakerState::Open => "the breaker is open: memory counts\n",
        BreakerState::HalfOpen => "the breaker is half-open: the next request tries Redis\n",
    }
}

/// Starts a `redis-server` on a free port, and returns its shell, its URL and its process id.
///
/// The shell kills the server once this process has ended, for whatever reason, because that closes the pipe
/// that the shell reads from. It sends SIGKILL, since a paused process doesn't react to anything gentler.
async fn own_redis() -> Result<(Child, String, String), Box<dyn Error>> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let script =
        r#"redis-server --port "$1" --bind 127.0.0.1 --save "" >/dev/null & echo $!; read -r _; kill -9 $!"#;
    let mut shell = Command::new("sh")
        .args(["-c", script, "sh", &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = shell.stdout.take().ok_or("no output to read")?;
    let id =
        BufReader::new(lines).lines().next_line().await?.ok_or("the shell has not told the process id")?;
    for _ in 0..100 {
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok((shell, format!("redis://127.0.0.1:{port}"), id));
        }
        // The server takes a moment to start.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("no answer from redis-server; is it installed?".into())
}

/// `POST /redis/pause` and `POST /redis/resume`: stops or continues the process with a signal.
async fn signal(Path(what): Path<String>, id: String) -> Result<String, StatusCode> {
    let signal = match what.as_str() {
        "pause" => "-STOP",
        "resume" => "-CONT",
        _ => return Err(StatusCode::NOT_FOUND),
    };
    let done = Command::new("kill").args([signal, &id]).status().await;
    match done {
        Ok(status) if status.success() => Ok(format!("{what}d\n")),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();

    // Kept until the end, because the server lives as long as the pipe to its shell.
    let own = match std::env::var("REDIS_URL") {
        Ok(_) => None,
        Err(_) => Some(own_redis().await?),
    };
    let url = own.as_ref().map_or_else(|| std::env::var("REDIS_URL"), |(_, url, _)| Ok(url.clone()))?;

    // Connect lazily, so that the service starts whether Redis is up or not.
    let redis = RedisBackend::builder(url).timeout(Duration::from_millis(250)).connect_lazy()?;
    let policy = OnError::failover(MemoryBackend::new()).breaker(BREAKER.clone());
    traffik::install(Traffik::builder().backend(redis).on_error(policy).build())?;

    let mut app = Router::new().route("/data", get(data)).route("/breaker", get(breaker));
    if let Some((_, _, id)) = &own {
        let id = id.clone();
        app = app.route("/redis/{what}", post(move |what| signal(what, id.clone())));
    }
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(traffik::axum::serve(listener, app).await?)
}
