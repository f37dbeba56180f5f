//! Hits one account from a separate process and prints how many hits were admitted.
//!
//! `hammer <url> <uid> <rate> <strategy> <hits>`

#![forbid(unsafe_code)]

use std::io::Write;
use std::time::Duration;

use traffik::{RedisBackend, Throttle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, uid, rate, strategy, hits] = args.as_slice() else {
        return Err("usage: hammer <url> <uid> <rate> <strategy> <hits>".into());
    };
    // The timeout is generous because many processes share few cores, and the test
    // counts rather than measures time.
    let redis = RedisBackend::builder(url).timeout(Duration::from_secs(10)).connect().await?;
    let limit = rate.parse::<traffik::Rate>()?.limit();
    let named = traffik_tests::strategies(limit).into_iter().find(|(name, _)| name == strategy);
    let (_, strategy) = named.ok_or_else(|| format!("unknown strategy {strategy}"))?;
    let throttle = Throttle::builder(uid).rate(rate).strategy(strategy).backend(redis).build()?;
    let mut admitted = 0;
    for _ in 0..hits.parse::<u32>()? {
        admitted += u32::from(traffik_tests::insist(&throttle, "everyone").await?);
    }
    writeln!(std::io::stdout(), "{admitted}")?;
    Ok(())
}
