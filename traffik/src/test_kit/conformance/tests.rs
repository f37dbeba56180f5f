//! The suite accepts the in-memory store and rejects every faulty one.

use super::*;
use crate::backend::{Backend, BackendError, BoxFuture, Hit, Op, Verdicts};
use crate::{MemoryBackend, SharedBackend};

fn memory(clock: ManualClock) -> MemoryBackend {
    MemoryBackend::builder().clock(clock).build()
}

#[tokio::test]
async fn the_memory_backend_passes() {
    conformance(|clock| async move { memory(clock) }).await;
}

#[tokio::test]
async fn a_clone_behind_an_arc_passes() {
    conformance(|clock| async move { SharedBackend::from_arc(std::sync::Arc::new(memory(clock))) }).await;
}

/// A strategy that is not in the suite would be compared with its Lua twin nowhere.
#[test]
fn the_suite_runs_every_strategy() {
    let (core, narrow) = (strategies::core(), strategies::narrow());
    assert!(
        core.iter().all(|strategy| strategy.twin().is_some()),
        "a strategy without a twin belongs in `narrow`"
    );
    assert!(
        narrow.iter().all(|strategy| strategy.twin().is_none()),
        "a strategy with a twin belongs in `core`"
    );
    let run: Vec<String> = core.iter().chain(&narrow).map(|strategy| format!("{strategy:?}")).collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/strategy");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let Ok(text) = std::fs::read_to_string(entry.unwrap().path()) else { continue };
        let Some((_, rest)) = text.split_once("\nimpl Strategy for ") else { continue };
        let name = rest.split(' ').next().unwrap();
        let is_run = run.iter().any(|shown| shown.split(' ').next() == Some(name));
        assert!(is_run, "{name} has no row in traffik/src/test_kit/conformance/strategies.rs");
        found += 1;
    }
    assert!(found > 10, "{found} strategies");
}

/// The faults, of which a store has exactly one.
#[derive(Debug, Clone, Copy)]
enum Fault {
    ChargesOneByOne,
    ChargesOnCheck,
    ForgetsRefunds,
    MixesScopes,
    RoundsTimeToMilliseconds,
    TellsOthersAfterARefusalAsCharged,
}

#[derive(Debug)]
struct Wrong {
    inner: MemoryBackend,
    fault: Fault,
    clock: ManualClock,
}

impl Wrong {
    fn answer(&self, op: Op, hits: &[Hit<'_>]) -> Verdicts {
        let ask = |op, hits: &[Hit<'_>]| self.inner.decide_now(op, hits).unwrap().unwrap();
        match (self.fault, op) {
            (Fault::ChargesOneByOne, _) => {
                let each = hits.iter().map(|hit| ask(op, std::slice::from_ref(hit)).each[0]);
                Verdicts::new(crate::Clock::now(&self.clock), each)
            }
            (Fault::ChargesOnCheck, Op::Check) => ask(Op::Hit, hits),
            (Fault::ForgetsRefunds, Op::Refund { .. }) => ask(Op::Check, hits),
            (Fault::MixesScopes, _) => {
                let who = |hit: &Hit<'_>| crate::key::identity(&hit.who());
                let hits: Vec<_> = hits
                    .iter()
                    .map(|hit| Hit::new(hit.policy(), hit.who(), who(hit), None, hit.cost()))
                    .collect();
                ask(op, &hits)
            }
            (Fault::RoundsTimeToMilliseconds, _) => {
                let mut verdicts = ask(op, hits);
                verdicts
                    .each
                    .iter_mut()
                    .for_each(|verdict| verdict.reset_after -= verdict.reset_after % 1_000);
                verdicts
            }
            (Fault::TellsOthersAfterARefusalAsCharged, Op::Hit) => {
                let verdicts = ask(op, hits);
                if verdicts.admitted() {
                    return verdicts;
                }
                let as_if =
                    |hit: &Hit<'_>| hit.step(Op::Hit, verdicts.now, &mut crate::strategy::State::Empty);
                Verdicts::new(verdicts.now, hits.iter().map(as_if))
            }
            _ => ask(op, hits),
        }
    }
}

impl Backend for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn decide<'a>(&'a self, op: Op, hits: &'a [Hit<'a>]) -> BoxFuture<'a, Result<Verdicts, BackendError>> {
        Box::pin(async move { Ok(self.answer(op, hits)) })
    }
}

#[tokio::test]
async fn a_wrong_backend_does_not_pass() {
    for fault in [
        Fault::ChargesOneByOne,
        Fault::ChargesOnCheck,
        Fault::ForgetsRefunds,
        Fault::MixesScopes,
        Fault::RoundsTimeToMilliseconds,
        Fault::TellsOthersAfterARefusalAsCharged,
    ] {
        let make =
            move |clock: ManualClock| async move { Wrong { inner: memory(clock.clone()), fault, clock } };
        let error = tokio::spawn(conformance(make)).await.expect_err("the suite must fail");
        let message = *error.into_panic().downcast::<String>().expect("a message");
        assert!(message.contains("\"wrong\"") && message.contains("seed"), "{fault:?}: {message}");
    }
}
