//! Deciding a batch by compare-and-swap, for strategies without a Lua twin.
//!
//! Redis returns what the keys hold, the steps are taken here, and one script stores the outcome if the keys still
//! hold the same: all of them, or none. If they don't, it returns what they hold now, and the steps are taken again.
//! Calls of one process take turns (`key_locks.rs`), so as a rule only calls of other processes interfere.

use std::time::Duration;

use redis::{Cmd, Value};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::key_locks::Wait;
use super::link::IfBusy;
use super::scripts::swap_script;
use super::{Store, key};
use crate::backend::{BackendError, Hit, Op, Verdict, Verdicts};
use crate::retry::Retry;
use crate::strategy::{SlidingLog, State, Twin};

/// How often a batch is tried if no deadline bounds it.
const TRIES: u32 = 10_000;

/// The pauses in between: up to 400 µs, then up to 800, and so on.
const PAUSES: Retry = Retry { times: TRIES, first: Duration::from_micros(400) };

/// How often the pauses double: up to 13 ms.
const GROWS: u32 = 5;

/// For how long at most a call waits for its turn while nobody ahead of it is answered.
const MOST_PATIENCE: Duration = Duration::from_secs(30);

/// What a key holds, in the notation of `lua/swap.lua`.
type Held = Vec<u8>;

/// Decides a batch. It gives way to other calls until `until`. After that it returns an error, never a refusal.
pub(super) async fn by_swap(
    store: &Store,
    until: Option<Instant>,
    op: Op,
    hits: &[Hit<'_>],
) -> Result<Verdicts, BackendError> {
    let script = swap_script();
    let keys: Vec<String> = hits.iter().map(|hit| key::of(&store.namespace, hit)).collect();
    // Read without the locks, because a call that is refused or only asks changes nothing. If other calls change the
    // keys before they are locked, the first swap fails, and returns as much as another read would.
    let mut reply = store.run(script, &command(store, &keys), IfBusy::of(op)).await?;
    let wait = Wait { until, patience: (store.timeout / 2).min(MOST_PATIENCE) };
    let mut guard = None;
    for tried in 0..TRIES {
        let (now, held) = read(store, reply, hits.len()).ok_or_else(|| store.unexpected_reply())?;
        let (verdicts, states) = step(op, now, hits, &held, store);
        if states.is_empty() {
            return Ok(verdicts);
        }
        let guard = match &mut guard {
            Some(guard) => guard,
            none => match store.key_locks.lock(hits.iter().map(Hit::hash), wait).await {
                Some(taken) => none.insert(taken),
                None => break,
            },
        };
        let mut swap = command(store, &keys);
        for ((held, state), verdict) in held.iter().zip(&states).zip(&verdicts.each) {
            swap.arg(held.as_slice()).arg(state.encode()).arg(ttl(store, verdict));
        }
        reply = store.run(script, &swap, IfBusy::Send).await?;
        guard.answered();
        if matches!(reply.as_slice(), [Value::Int(1)]) {
            return Ok(verdicts);
        }
        // The first swap may have failed because of what this process did before the keys were locked.
        if tried > 0 && !back_off(tried - 1, until).await {
            break;
        }
    }
    Err(BackendError::contention(format!(
        "redis at {}: other calls kept changing the same keys until the deadline",
        store.address
    )))
}

/// Lets other processes pass, for longer the more attempts have failed. Returns `false` if no time is left.
async fn back_off(times: u32, until: Option<Instant>) -> bool {
    let wait = PAUSES.wait(times.min(GROWS));
    if until.is_some_and(|until| Instant::now() + wait >= until) {
        return false;
    }
    tokio::time::sleep(wait).await;
    true
}

/// Creates a call of `lua/swap.lua` that only reads, until what to swap is added.
fn command(store: &Store, keys: &[String]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(&swap_script().sha1).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    command.arg(if store.clock.is_some() { "argument" } else { "server" });
    command
}

/// Reads the reply of `lua/swap.lua`: the instant, and what each key holds.
fn read(store: &Store, reply: Vec<Value>, hits: usize) -> Option<(u64, Vec<Held>)> {
    let mut reply = reply.into_iter();
    let (Some(Value::Int(0)), Some(Value::Int(now))) = (reply.next(), reply.next()) else { return None };
    let now = match &store.clock {
        Some(clock) => clock.now(),
        None => u64::try_from(now).ok()?,
    };
    let held = reply.map(|value| match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    });
    let held: Vec<Held> = held.collect::<Option<_>>()?;
    (held.len() == hits).then_some((now, held))
}

/// Takes the steps. Returns no states if nothing is to be stored.
fn step(op: Op, now: u64, hits: &[Hit<'_>], held: &[Held], store: &Store) -> (Verdicts, Vec<State>) {
    let mut garbage = 0;
    let before: Vec<State> = held
        .iter()
        .zip(hits)
        .map(|(held, hit)| match held.as_slice() {
            [b'-'] => State::Empty,
            [b'=', raw @ ..] => decode(raw, hit).unwrap_or_else(|| {
                garbage += 1;
                State::Empty
            }),
            _ => {
                garbage += 1;
                State::Empty
            }
        })
        .collect();
    store.report_garbage(garbage);

    let take = |op| {
        let mut states = before.clone();
        let steps = hits.iter().zip(&mut states).map(|(hit, state)| hit.step(op, now, state));
        (steps.collect::<SmallVec<[Verdict; 2]>>(), states)
    };
    let (each, states) = take(op);
    let admitted = each.iter().all(|verdict| verdict.admitted);
    if op == Op::Hit && !admitted {
        // Nothing is charged, and the others are reported as they stand.
        let (each, _) = take(Op::Check);
        return (Verdicts::new(now, each), Vec::new());
    }
    // An unchanged state is stored again, because it may now matter for longer.
    let nothing = states.iter().all(|state| *state == State::Empty) && held.iter().all(|held| held == b"-");
    (Verdicts::new(now, each), if nothing || !op.changes() { Vec::new() } else { states })
}

/// Reads a state as its strategy would have left it in memory.
fn decode(raw: &[u8], hit: &Hit<'_>) -> Option<State> {
    let mut state = State::decode(raw)?;
    if hit.policy().strategy().twin() == Some(Twin::SlidingLog) {
        SlidingLog::drop_free(&mut state);
    }
    Some(state)
}

/// How long to keep a state, in ms. As in `lua/main.lua`: never too short, and at most 1 s too long.
fn ttl(store: &Store, verdict: &Verdict) -> u64 {
    // The server's clock has moved on since it was read, so the expiry errs on the long side.
    let slack = if store.clock.is_some() { 999 } else { 1 };
    verdict.keep_for.div_ceil(1000).saturating_add(slack)
}
