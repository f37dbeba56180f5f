//! Several accounts in one call.

use std::time::Duration;

use super::oracle::{Asked, Suite, traces};
use super::strategies;
use crate::backend::{Op, Verdicts};
use crate::clock::Clock;
use crate::rate::Rate;

/// Uids must be known when the program is built; their number is the most hits in one batch.
const UIDS: [&str; 6] = ["batch:0", "batch:1", "batch:2", "batch:3", "batch:4", "batch:5"];

/// Creates one hit for each of a few throttles with random strategies, all for one client or for
/// several.
fn random_batch(suite: &mut Suite, name: &str, from: u64) -> Vec<Asked> {
    let mut strategies = strategies::core();
    if from > 0 {
        strategies.extend(strategies::narrow());
    }
    let rates = [Rate::per_second(20), Rate::per_minute(20), Rate::per_hour(30), Rate::per_day(50)];
    let many = 1 + suite.random.below(UIDS.len() as u64) as usize;
    UIDS[..many]
        .iter()
        .map(|uid| {
            let strategy = strategies[suite.random.below(strategies.len() as u64) as usize].clone();
            let rate = suite.random.pick(&rates);
            let policy = suite.policy(uid, rate, &strategy);
            let client = if suite.random.below(4) == 0 { format!("{name}/{uid}") } else { name.to_owned() };
            let choice = suite.random.below(8);
            suite.asked(&policy, strategies::client(&client, choice), 1)
        })
        .collect()
}

/// All are charged, or none; other operations are applied one by one.
pub(super) async fn all_or_nothing(mut suite: Suite) {
    for round in 0..traces(30) {
        let name = suite.name(&round.to_string());
        let batch = random_batch(&mut suite, &name, round % 2);
        let (mut charged, mut gone_at) = (Clock::now(&suite.clock), u64::MAX);
        for _ in 0..30 {
            let step = suite.random.below(4_000_000);
            suite.clock.advance(Duration::from_micros(if step < 2_000_000 { 0 } else { step }));
            let from = suite.random.below(batch.len() as u64) as usize;
            let mut asked: Vec<Asked> = Vec::new();
            for one in batch.iter().skip(from).chain(batch.iter().take(from)) {
                let cost = [1, 1, 2, 3, 9, 60][suite.random.below(6) as usize];
                asked.push(one.cost(cost).back(suite.random.below(2) == 0).gone_at(gone_at));
            }
            let op = match suite.random.below(16) {
                0 => Op::Refund { at: Some(charged) },
                1 => Op::Refund { at: None },
                2 | 3 => Op::Check,
                4 => Op::Reset,
                5 | 6 => Op::Settle { at: charged },
                _ => Op::Hit,
            };
            let verdicts = suite.agree(op, &asked).await;
            if op == Op::Hit && verdicts.admitted() {
                charged = verdicts.now;
                gone_at = charged + verdicts.each.first().map_or(0, |verdict| verdict.reset_after);
            }
        }
    }
}

/// A refusal charges nobody, whatever its position, and reports the others as they stand.
pub(super) async fn told_as_they_stand(mut suite: Suite) {
    for strategy in strategies::core() {
        for refusing in 0..3 {
            let name = suite.name(&format!("{strategy:?}/{refusing}"));
            let policies = [0, 1, 2].map(|place| suite.policy(UIDS[place], Rate::per_hour(5), &strategy));
            let client = |cost| policies.each_ref().map(|policy| suite.asked(policy, name.as_str(), cost));
            let (ones, fives) = (client(1), client(5));
            let most = strategy.capacity(&Rate::per_hour(5));
            suite.agree(Op::Hit, &[ones[refusing].cost(most)]).await;
            let before: Verdicts = suite.agree(Op::Check, &ones).await;
            for asked in [&ones, &fives] {
                let refused = suite.agree(Op::Hit, asked).await;
                suite.require(!refused.admitted(), || {
                    format!("{strategy:?}: a full account let a batch pass")
                });
            }
            let after = suite.agree(Op::Check, &ones).await;
            suite.require(before.each == after.each, || {
                format!("{strategy:?}: a refused batch changed {before:#?} to {after:#?}")
            });
        }
    }
}
