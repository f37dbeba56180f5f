//! One throttle for three tenants, counted in three places: two Redis servers and this process.
//!
//! Run with `cargo run -p traffik-examples --bin multi_tenant`, which starts its own two `redis-server`
//! processes, or with `REDIS_URL=redis://127.0.0.1:6379` in front to count the paying tenants on that
//! server, each in a separate namespace. Then
//!
//! ```sh
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' -H 'x-tenant: enterprise' localhost:3000/quota; done  # 200 200 429
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' -H 'x-tenant: premium' localhost:3000/quota; done     # 200 200 429
//! for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' localhost:3000/quota; done                            # 200 200 429
//! ```

use std::error::Error;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::{Router, routing::get};
use traffik::{BackendLayer, MemoryBackend, Parts, RedisBackend, SharedBackend, throttle};

#[throttle("api:quota", rate = "2/min", dynamic_backend)]
async fn quota() -> &'static str {
    "ok"
}

/// Starts a `redis-server` on a free port, and returns its shell and its URL.
///
/// The shell kills the server once this process has ended, for whatever reason, because that closes the pipe
/// that the shell reads from.
fn own_redis() -> std::io::Result<(Child, String)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let script = r#"redis-server --port "$1" --bind 127.0.0.1 --save "" & read -r _; kill $!"#;
    let shell = Command::new("sh")
        .args(["-c", script, "sh", &port.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    Ok((shell, format!("redis://127.0.0.1:{port}")))
}

/// Connects to a namespace on the given Redis server, or on a newly started one.
async fn tenant(namespace: &str, own: &mut Vec<Child>) -> Result<SharedBackend, Box<dyn Error>> {
    if let Ok(url) = std::env::var("REDIS_URL") {
        return Ok(RedisBackend::builder(url).namespace(namespace).connect().await?.into());
    }
    let (shell, url) = own_redis()?;
    own.push(shell);
    let mut tries = 0;
    loop {
        match RedisBackend::builder(url.as_str()).namespace(namespace).connect().await {
            Ok(redis) => return Ok(redis.into()),
            // The server takes a moment to start.
            Err(error) if error.is_backend() && tries < 100 => tries += 1,
            Err(error) => return Err(format!("{error}; is redis-server installed?").into()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Kept until the end, because the servers live as long as the pipes to their shells.
    let mut own = Vec::new();
    let (enterprise, premium) = (tenant("enterprise", &mut own).await?, tenant("premium", &mut own).await?);
    let free = SharedBackend::from(MemoryBackend::new());

    let tenants = BackendLayer::resolve(move |req: &Parts| {
        let tenant = req.headers.get("x-tenant").and_then(|tenant| tenant.to_str().ok());
        Some(match tenant {
            Some("enterprise") => enterprise.clone(),
            Some("premium") => premium.clone(),
            _ => free.clone(),
        })
    });
    let app = Router::new().route("/quota", get(quota)).layer(tenants);
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(traffik::axum::serve(listener, app).await?)
}
