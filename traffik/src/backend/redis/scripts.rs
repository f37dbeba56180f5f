//! Lua: which file runs a strategy, with which arguments, and the scripts composed of them.

use std::sync::OnceLock;

use crate::backend::Hit;
use crate::strategy::{SlidingWindow, Twin};

/// A strategy in Lua. The compiler asks for all that a new one takes, except its place in [`ALL`](Self::ALL).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LuaStrategy {
    FixedWindow,
    Bucket,
    SlidingWindow,
    SlidingLog,
    LeakyQueue,
}

impl LuaStrategy {
    /// In the order in which scripts contain them.
    const ALL: [Self; 5] =
        [Self::FixedWindow, Self::Bucket, Self::SlidingWindow, Self::SlidingLog, Self::LeakyQueue];

    const fn name(self) -> &'static str {
        match self {
            Self::FixedWindow => "fixed_window",
            Self::Bucket => "bucket",
            Self::SlidingWindow => "sliding_window",
            Self::SlidingLog => "sliding_log",
            Self::LeakyQueue => "leaky_queue",
        }
    }

    /// Its file, which adds `strategies[name]`.
    const fn source(self) -> &'static str {
        match self {
            Self::FixedWindow => include_str!("lua/fixed_window.lua"),
            Self::Bucket => include_str!("lua/bucket.lua"),
            Self::SlidingWindow => include_str!("lua/sliding_window.lua"),
            Self::SlidingLog => include_str!("lua/sliding_log.lua"),
            Self::LeakyQueue => include_str!("lua/leaky_queue.lua"),
        }
    }

    /// Its bit in a set of strategies.
    const fn bit(self) -> usize {
        1 << self as usize
    }
}

/// Returns the Lua file of a hit's strategy, and its arguments in the order in which the file reads
/// them. `None` sends the hit to compare-and-swap.
pub(super) fn call_of(hit: &Hit<'_>) -> Option<Call> {
    let rate = hit.policy().rate();
    let (limit, period) = (rate.limit(), rate.period_micros());
    let (leak, unit) = rate.reduced_terms();
    Some(match hit.policy().strategy().twin()? {
        Twin::FixedWindow { staggered: false } => call(LuaStrategy::FixedWindow, &[limit, period, 0]),
        Twin::FixedWindow { staggered: true } => {
            call(LuaStrategy::FixedWindow, &[limit, period, hit.phase() % period])
        }
        Twin::Bucket { burst, debt } => {
            call(LuaStrategy::Bucket, &[burst.unwrap_or(limit), debt, leak, unit])
        }
        Twin::SlidingWindow => {
            call(LuaStrategy::SlidingWindow, &[limit, period, SlidingWindow::high_bits(period).into()])
        }
        Twin::SlidingLog => call(LuaStrategy::SlidingLog, &[limit, period]),
        Twin::LeakyQueue => call(LuaStrategy::LeakyQueue, &[limit, period, leak, unit]),
    })
}

/// One hit, in the form that its Lua file takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    strategy: LuaStrategy,
    pub(super) args: Vec<u64>,
}

fn call(strategy: LuaStrategy, args: &[u64]) -> Call {
    Call { strategy, args: args.into() }
}

impl Call {
    /// The strategy's name in the script.
    pub(super) fn name(&self) -> &'static str {
        self.strategy.name()
    }
}

/// A script that Redis caches under its SHA1.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) source: String,
    pub(super) sha1: String,
}

impl Script {
    fn new(source: String) -> Self {
        let sha1 = redis::Script::new(&source).get_hash().to_owned();
        Self { source, sha1 }
    }
}

/// Returns the script that decides these calls: the prelude, the strategies in use and the driver.
/// It is created once per set of strategies.
pub(super) fn decide_script(calls: &[Call]) -> &'static Script {
    static CACHE: [OnceLock<Script>; 1 << LuaStrategy::ALL.len()] =
        [const { OnceLock::new() }; 1 << LuaStrategy::ALL.len()];
    let set = calls.iter().fold(0, |set, call| set | call.strategy.bit());
    // In range, because `ALL` names every strategy: each is run on Redis by the conformance tests.
    CACHE[set].get_or_init(|| Script::new(compose(set)))
}

fn compose(set: usize) -> String {
    let strategies = LuaStrategy::ALL.into_iter().filter(|strategy| set & strategy.bit() != 0);
    let files = std::iter::once(include_str!("lua/prelude.lua"))
        .chain(strategies.map(LuaStrategy::source))
        .chain([include_str!("lua/main.lua")]);
    files.map(compact).collect()
}

/// Returns the code without comments and indentation, which are half of it. A script is sent whole to a server that
/// does not have it, and what exceeds TCP's first window, some 14 kB, arrives a round trip later.
fn compact(source: &str) -> String {
    let lines =
        source.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with("--"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Returns the compare-and-swap script.
pub(super) fn swap_script() -> &'static Script {
    static CACHE: OnceLock<Script> = OnceLock::new();
    CACHE.get_or_init(|| Script::new(compact(include_str!("lua/swap.lua"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_holds_the_strategies_in_use_and_no_other() {
        let one = decide_script(&[call(LuaStrategy::Bucket, &[]), call(LuaStrategy::Bucket, &[])]);
        assert!(
            one.source.contains("strategies.bucket =") && !one.source.contains("strategies.fixed_window =")
        );
        let both = decide_script(&[call(LuaStrategy::Bucket, &[]), call(LuaStrategy::FixedWindow, &[])]);
        assert!(
            both.source.contains("strategies.bucket =") && both.source.contains("strategies.fixed_window =")
        );
        assert_ne!(one.sha1, both.sha1);
        assert!(std::ptr::eq(one, decide_script(&[call(LuaStrategy::Bucket, &[])])), "made once");
    }

    #[test]
    fn a_script_arrives_at_once() {
        for strategy in LuaStrategy::ALL {
            let script = decide_script(&[call(strategy, &[])]);
            // Keys and arguments need some room too.
            assert!(script.source.len() < 12_000, "{}: {}", strategy.name(), script.source.len());
        }
        assert_eq!(compact("-- Why.\nif a then\n\n  -- Because.\n  b()\nend\n"), "if a then\nb()\nend\n");
    }

    /// Its lines could look like comments.
    #[test]
    fn no_file_has_text_of_several_lines() {
        let others =
            [include_str!("lua/prelude.lua"), include_str!("lua/main.lua"), include_str!("lua/swap.lua")];
        for source in LuaStrategy::ALL.map(LuaStrategy::source).iter().chain(&others) {
            assert!(!source.contains("[[") && !source.contains("[="), "{source}");
        }
    }

    #[test]
    fn every_file_adds_the_strategy_it_is_named_after() {
        for strategy in LuaStrategy::ALL {
            let name = strategy.name();
            assert!(strategy.source().contains(&format!("strategies.{name} = {{ arity =")), "{name}");
        }
    }
}
