//! Lua: which file runs a strategy, with which arguments, and the scripts composed of them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::backend::Hit;
use crate::strategy::{SlidingWindow, Twin};

/// A strategy in Lua. Its file adds `strategies[name]`.
struct LuaStrategy {
    name: &'static str,
    source: &'static str,
}

macro_rules! lua_strategies {
    ($($id:ident = $name:literal),* $(,)?) => {
        /// The strategies in Lua, by the order of [`LUA_STRATEGIES`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum StrategyId { $($id),* }

        const LUA_STRATEGIES: &[LuaStrategy] = &[$(LuaStrategy { name: $name, source: include_str!(concat!("lua/", $name, ".lua")) }),*];
    };
}

// A new strategy takes one line here and one arm in `call_of`.
lua_strategies! {
    FixedWindow = "fixed_window",
    Bucket = "bucket",
    SlidingWindow = "sliding_window",
    SlidingLog = "sliding_log",
    LeakyQueue = "leaky_queue",
}

/// Returns the Lua file of a hit's strategy, and its arguments in the order in which the file reads
/// them. `None` sends the hit to compare-and-swap.
pub(super) fn call_of(hit: &Hit<'_>) -> Option<Call> {
    let rate = hit.policy().rate();
    let (limit, period) = (rate.limit(), rate.period_micros());
    let (leak, unit) = rate.reduced_terms();
    Some(match hit.policy().strategy().twin()? {
        Twin::FixedWindow { staggered: false } => call(StrategyId::FixedWindow, &[limit, period, 0]),
        Twin::FixedWindow { staggered: true } => {
            call(StrategyId::FixedWindow, &[limit, period, hit.phase() % period])
        }
        Twin::Bucket { burst, debt } => call(StrategyId::Bucket, &[burst.unwrap_or(limit), debt, leak, unit]),
        Twin::SlidingWindow => {
            call(StrategyId::SlidingWindow, &[limit, period, SlidingWindow::high_bits(period).into()])
        }
        Twin::SlidingLog => call(StrategyId::SlidingLog, &[limit, period]),
        Twin::LeakyQueue => call(StrategyId::LeakyQueue, &[limit, period, leak, unit]),
    })
}

/// One hit, in the form that its Lua file takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    id: StrategyId,
    pub(super) args: Vec<u64>,
}

fn call(id: StrategyId, args: &[u64]) -> Call {
    Call { id, args: args.into() }
}

impl Call {
    /// The strategy's name in the script.
    pub(super) fn name(&self) -> &'static str {
        LUA_STRATEGIES[self.id as usize].name
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
pub(super) fn decide_script(calls: &[Call]) -> Arc<Script> {
    static CACHE: OnceLock<RwLock<HashMap<u64, Arc<Script>>>> = OnceLock::new();
    const { assert!(LUA_STRATEGIES.len() <= 64) };
    let set = calls.iter().fold(0_u64, |set, call| set | 1 << call.id as u64);
    let cache = CACHE.get_or_init(RwLock::default);
    if let Some(script) = cache.read().unwrap_or_else(PoisonError::into_inner).get(&set) {
        return script.clone();
    }
    let mut cache = cache.write().unwrap_or_else(PoisonError::into_inner);
    cache.entry(set).or_insert_with(|| Arc::new(Script::new(compose(set)))).clone()
}

fn compose(set: u64) -> String {
    let strategies = LUA_STRATEGIES.iter().enumerate().filter(|(place, _)| set >> place & 1 == 1);
    let files = std::iter::once(include_str!("lua/prelude.lua"))
        .chain(strategies.map(|(_, part)| part.source))
        .chain([include_str!("lua/main.lua")]);
    files.collect::<Vec<_>>().join("\n")
}

/// Returns the compare-and-swap script.
pub(super) fn swap_script() -> &'static Script {
    static CACHE: OnceLock<Script> = OnceLock::new();
    CACHE.get_or_init(|| Script::new(include_str!("lua/swap.lua").into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_holds_the_strategies_in_use_and_no_other() {
        let one = decide_script(&[call(StrategyId::Bucket, &[]), call(StrategyId::Bucket, &[])]);
        assert!(
            one.source.contains("strategies.bucket =") && !one.source.contains("strategies.fixed_window =")
        );
        let both = decide_script(&[call(StrategyId::Bucket, &[]), call(StrategyId::FixedWindow, &[])]);
        assert!(
            both.source.contains("strategies.bucket =") && both.source.contains("strategies.fixed_window =")
        );
        assert_ne!(one.sha1, both.sha1);
        assert!(Arc::ptr_eq(&one, &decide_script(&[call(StrategyId::Bucket, &[])])), "made once");
    }

    #[test]
    fn every_file_adds_the_strategy_it_is_named_after() {
        for part in LUA_STRATEGIES {
            assert!(part.source.contains(&format!("strategies.{} = {{ arity =", part.name)), "{}", part.name);
        }
    }
}
