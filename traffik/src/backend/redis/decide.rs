//! Deciding a batch: one script call for strategies with a Lua twin.

use redis::{Cmd, Value};
use smallvec::SmallVec;
use tokio::time::Instant;

use super::link::IfBusy;
use super::scripts::{self, Call};
use super::{Store, key, swap};
use crate::backend::{BackendError, Hit, Op, Verdict, Verdicts};
use crate::strategy::EXACT;

/// Decides a batch. A single strategy without a twin sends all of it to compare-and-swap: two
/// scripts could not charge all or nothing, and every state reads the same either way.
pub(super) async fn decide(
    store: &Store,
    until: Option<Instant>,
    op: Op,
    hits: &[Hit<'_>],
) -> Result<Verdicts, BackendError> {
    match hits.iter().map(scripts::call_of).collect::<Option<Vec<Call>>>() {
        Some(calls) => by_script(store, op, hits, &calls).await,
        None => swap::by_swap(store, until, op, hits).await,
    }
}

/// Decides by one script call.
async fn by_script(
    store: &Store,
    op: Op,
    hits: &[Hit<'_>],
    calls: &[Call],
) -> Result<Verdicts, BackendError> {
    let script = scripts::decide_script(calls);
    let reply = store.run(script, &command(store, &script.sha1, op, hits, calls), IfBusy::of(op)).await?;
    let mut numbers = reply.iter().map(|value| match value {
        Value::Int(number) => Some(*number),
        _ => None,
    });
    let verdicts = read(&mut numbers, hits.len()).filter(|_| numbers.next().is_none());
    let (verdicts, unreadable) = verdicts.ok_or_else(|| store.unexpected_reply())?;
    store.report_garbage(unreadable);
    Ok(verdicts)
}

/// Creates the call, in the form that `lua/main.lua` takes.
fn command(store: &Store, sha1: &str, op: Op, hits: &[Hit<'_>], calls: &[Call]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(sha1).arg(hits.len());
    for hit in hits {
        command.arg(key::of(&store.namespace, hit));
    }
    match &store.clock {
        Some(clock) => command.arg(clock.now()),
        None => command.arg(""),
    };
    let (word, at) = match op {
        Op::Hit => ("hit", None),
        Op::Check => ("check", None),
        Op::Refund { at } => ("refund", at),
        Op::Settle { at } => ("settle", Some(at)),
        Op::Reset => ("reset", None),
    };
    command.arg(word);
    for (hit, call) in hits.iter().zip(calls) {
        // No account holds 2^53, so a cost that large has the same effect as any above it.
        let cost = hit.cost().min(EXACT).cast_signed();
        let back = matches!(op, Op::Settle { .. }) && hit.gives_back();
        command.arg(call.name()).arg(if back { -cost } else { cost });
        if matches!(op, Op::Refund { .. } | Op::Settle { .. }) {
            match hit.charged_at().or(at) {
                Some(at) => command.arg(at.min(EXACT)),
                None => command.arg(""),
            };
            match hit.gone_at() {
                u64::MAX => command.arg(""),
                gone_at => command.arg(gone_at.min(EXACT)),
            };
        }
        for argument in &call.args {
            command.arg(*argument);
        }
    }
    command
}

/// Reads the reply of `lua/main.lua`, including how many keys could not be read.
fn read(numbers: &mut impl Iterator<Item = Option<i64>>, hits: usize) -> Option<(Verdicts, usize)> {
    let mut next = || numbers.next().flatten();
    let whole = |number: i64| u64::try_from(number).ok();
    let now = whole(next()?)?;
    let unreadable = usize::try_from(next()?).ok()?;
    let mut each: SmallVec<[Verdict; 2]> = SmallVec::new();
    for _ in 0..hits {
        each.push(Verdict {
            admitted: next()? == 1,
            limit: whole(next()?)?,
            used: whole(next()?)?,
            remaining: whole(next()?)?,
            wait: match next()? {
                -1 => Verdict::NEVER,
                wait => whole(wait)?,
            },
            reset_after: whole(next()?)?,
            keep_for: whole(next()?)?,
        });
    }
    Some((Verdicts::new(now, each), unreadable))
}
