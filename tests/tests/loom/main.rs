//! Checks the memory store's table under every interleaving of two or three threads. The store's own source
//! files are compiled against loom's locks, cells and atomics.

mod scenes;
mod sync;

#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/batch.rs"]
mod batch;
#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/bucket.rs"]
mod bucket;
#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/eviction_rank.rs"]
mod eviction_rank;
#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/expiry.rs"]
mod expiry;
#[path = "../../../traffik/src/few.rs"]
mod few;
#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/fingerprint.rs"]
mod fingerprint;
#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/growth.rs"]
mod growth;
mod load;
#[path = "../../../traffik/src/backend/memory/lock.rs"]
mod lock;
#[path = "../../../traffik/src/backend/memory/new_state.rs"]
mod new_state;
#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/nodes.rs"]
mod nodes;
#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/packed_state.rs"]
mod packed_state;
#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/reclaim.rs"]
mod reclaim;
#[allow(dead_code)]
#[path = "../../../traffik/src/backend/memory/step.rs"]
mod step;
#[allow(dead_code, unexpected_cfgs, reason = "what only some features need is not compiled here")]
#[path = "../../../traffik/src/backend/memory/table.rs"]
mod table;

/// What the table's files import from `crate::strategy`.
mod strategy {
    pub(crate) use traffik::strategy::State;
}

/// What the table's files import from `crate::backend`.
mod backend {
    use std::marker::PhantomData;

    pub(crate) use traffik::strategy::{Op, Verdict};

    use traffik::Rate;
    use traffik::strategy::{Ask, FixedWindow, State, Strategy};

    /// A hit of cost 1 on an account with an hourly limit, in a bucket that the test chooses.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Hit<'a> {
        pub(crate) tag: u64,
        pub(crate) rate: Rate,
        pub(crate) lifetime: PhantomData<&'a ()>,
    }

    impl Hit<'_> {
        pub(crate) fn hash(&self) -> u64 {
            self.tag
        }

        pub(crate) fn step(&self, op: Op, now: u64, state: &mut State) -> Verdict {
            FixedWindow::new().step(state, &Ask::new(op, now, &self.rate, 1))
        }

        pub(crate) fn step_words(&self, now: u64, words: [u64; 2]) -> Option<(Verdict, [u64; 2])> {
            let mut state = State::Words(words);
            let verdict = self.step(Op::Hit, now, &mut state);
            Some((verdict, state.words()?))
        }
    }
}
