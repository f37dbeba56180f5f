//! A custom strategy: the wait between sign-in attempts doubles each time.
//!
//! Run with `cargo run -p traffik-examples --bin custom_strategy`, or with
//! `REDIS_URL=redis://127.0.0.1:6379` in front to run the same strategy on Redis, then
//!
//! ```sh
//! for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' -H 'x-user: ann' localhost:3000/sign-in; done
//! # 200 200 200 429: three attempts are free, and the next is allowed after a second
//! sleep 1; for i in 1 2; do curl -s -o /dev/null -w '%{http_code} ' -H 'x-user: ann' localhost:3000/sign-in; done
//! # 200 429: the next wait is two seconds, then four, then eight
//! curl -s -o /dev/null -w '%{http_code}\n' -H 'x-user: bob' localhost:3000/sign-in
//! # 200: another user
//! ```

use std::sync::LazyLock;

use axum::{Router, routing::get};
use traffik::strategy::{Ask, Op, State, Strategy, Verdict};
use traffik::{Identity, Parts, Rate, RedisBackend, Throttle, Traffik, throttle};

const SECOND: u64 = 1_000_000;

/// Exponential backoff: the first attempts, up to the rate's limit, are free. Each further attempt must
/// wait one second, then two, then four, up to the period. If a period passes without an attempt after a
/// wait is over, all attempts are forgotten.
///
/// The state consists of the time of the last attempt and the number of attempts. The step is a plain
/// function of state and time, so every backend can run it: in memory under a lock, on Redis by
/// compare-and-swap.
#[derive(Debug, Clone, Copy)]
struct Backoff;

impl Backoff {
    /// Returns the wait after this many attempts, in microseconds.
    fn gap(rate: &Rate, attempts: u64) -> u64 {
        let Some(doublings) = attempts.checked_sub(rate.limit()) else { return 0 };
        let factor = 1_u64.checked_shl(doublings.try_into().unwrap_or(u32::MAX)).unwrap_or(u64::MAX);
        SECOND.saturating_mul(factor).min(rate.period_micros())
    }

    /// Returns how many attempts are allowed at once, when the wait is over.
    fn free(rate: &Rate, attempts: u64) -> u64 {
        rate.limit().saturating_sub(attempts).max(1)
    }
}

impl Strategy for Backoff {
    fn name(&self) -> &str {
        "backoff"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        if rate.period_micros() < SECOND {
            return Err("the first wait is a second; make the period at least that long".into());
        }
        Ok(())
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let rate = ask.rate;
        let (last, attempts) = match state.words() {
            Some([last, attempts]) => (last, attempts),
            None => (ask.now, 0),
        };
        // If the clock has stepped back, treat it as standing still.
        let now = ask.now.max(last);
        let forgotten = last.saturating_add(Self::gap(rate, attempts)).saturating_add(rate.period_micros());
        let (last, attempts) = if now >= forgotten { (now, 0) } else { (last, attempts) };

        let due = last.saturating_add(Self::gap(rate, attempts));
        let (admitted, wait, after) = match ask.op {
            Op::Hit | Op::Check if ask.cost > rate.limit() => (false, Verdict::NEVER, attempts),
            Op::Hit | Op::Check if now < due => (false, due - now, attempts),
            // More than is allowed at once, so it can pass only when all attempts are forgotten.
            Op::Hit | Op::Check if ask.cost > Self::free(rate, attempts) => {
                (false, forgotten - now, attempts)
            }
            Op::Hit | Op::Check => (true, 0, attempts.saturating_add(ask.cost)),
            Op::Refund { .. } => (true, 0, attempts.saturating_sub(ask.cost)),
            Op::Reset => (true, 0, 0),
            _ => (true, 0, attempts),
        };
        if ask.op.changes() && admitted {
            let last = if ask.op == Op::Hit { now } else { last };
            *state = if after == 0 { State::Empty } else { State::Words([last, after]) };
        }

        let (last, shown) = match (admitted, ask.op) {
            (true, Op::Hit) => (now, after),
            (true, Op::Check) | (false, _) => (last, attempts),
            (true, _) => (last, after),
        };
        let due = last.saturating_add(Self::gap(rate, shown));
        let remaining = if now < due { 0 } else { Self::free(rate, shown) };
        let lasts = if shown == 0 { 0 } else { (due + rate.period_micros()).saturating_sub(now) };
        Verdict {
            admitted,
            limit: rate.limit(),
            used: rate.limit() - remaining,
            remaining,
            wait,
            reset_after: lasts,
            keep_for: lasts,
        }
    }
}

fn user(req: &Parts) -> Identity {
    let user = req.headers.get("x-user").and_then(|user| user.to_str().ok());
    user.map_or_else(|| traffik::client_ip(req), Identity::from)
}

static SIGN_IN: LazyLock<Throttle> = LazyLock::new(|| {
    Throttle::builder("sign-in")
        .rate("3/hour")
        .strategy(Backoff)
        .identifier(user)
        .build()
        .expect("the rate is written right above")
});

#[throttle(SIGN_IN)]
async fn sign_in() -> &'static str {
    "welcome"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Ok(url) = std::env::var("REDIS_URL") {
        let redis = RedisBackend::connect(url.as_str()).await?;
        traffik::install(Traffik::builder().backend(redis).build())?;
    }
    let app = Router::new().route("/sign-in", get(sign_in));
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    traffik::axum::serve(listener, app).await?;
    Ok(())
}
