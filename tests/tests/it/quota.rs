//! Any interleaving of queueing, applying, reserving and cancelling, with hits by others in between. The
//! units must match those of a naive model.

use proptest::prelude::*;
use traffik::{QuotaContext, SharedBackend};
use traffik_tests::RedisServer;

use crate::support::{memory, mirrored, prove, throttle, used};

#[derive(Debug, Clone, Copy)]
enum Move {
    Add(bool, u64),
    Apply,
    Reserve,
    Cancel,
    Hit(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => (any::<bool>(), 0_u64..12).prop_map(|(first, units)| Move::Add(first, units)),
        1 => Just(Move::Apply),
        1 => Just(Move::Reserve),
        1 => Just(Move::Cancel),
        1 => (1_u64..6).prop_map(Move::Hit),
    ];
    proptest::collection::vec(one, 1..60)
}

/// Follows two accounts, and what a quota context on them should have queued, held and charged.
async fn follow(backend: SharedBackend, steps: Vec<Move>) -> Result<(), TestCaseError> {
    const LIMITS: [u64; 2] = [40, 60];
    let throttles = [("quota:one", "40/hour"), ("quota:other", "60/hour")]
        .map(|(uid, rate)| throttle(uid, rate).backend(&backend).build().unwrap());
    let quota = QuotaContext::new("ann");
    let (mut queued, mut held, mut taken, mut applied) = ([0; 2], [0; 2], [0; 2], 0);
    for step in steps {
        let fits = || (0..2).all(|place| taken[place] + queued[place] <= LIMITS[place]);
        match step {
            Move::Add(first, units) => {
                quota.add(&throttles[usize::from(first)], units);
                queued[usize::from(first)] += units;
            }
            Move::Apply | Move::Reserve => {
                let fits = fits();
                let apply = matches!(step, Move::Apply);
                let decision = if apply { quota.apply().await } else { quota.reserve().await };
                prop_assert_eq!(decision.unwrap().is_allowed(), fits);
                if fits {
                    for place in 0..2 {
                        taken[place] += queued[place];
                        held[place] += queued[place];
                    }
                    queued = [0; 2];
                    if apply {
                        applied += held[0] + held[1];
                        held = [0; 2];
                    }
                }
            }
            Move::Cancel => {
                quota.cancel().await.unwrap();
                (0..2).for_each(|place| taken[place] -= held[place]);
                (queued, held) = ([0; 2], [0; 2]);
            }
            Move::Hit(cost) => {
                let allowed = throttles[0].hit("ann").cost(cost).await.unwrap().is_allowed();
                prop_assert_eq!(allowed, taken[0] + cost <= LIMITS[0]);
                taken[0] += if allowed { cost } else { 0 };
            }
        }
        prop_assert_eq!([used(&throttles[0]).await, used(&throttles[1]).await], taken);
        prop_assert_eq!((quota.queued_cost(), quota.applied_cost()), (queued[0] + queued[1], applied));
    }
    Ok(())
}

#[test]
fn units_are_conserved() {
    prove("in memory", 200, moves(), async |steps| follow(memory().1, steps).await);
}

#[test]
fn units_are_conserved_on_redis() {
    let server = RedisServer::start();
    prove("on Redis", 30, moves(), async |steps| follow(mirrored(&server).await.1, steps).await);
}
