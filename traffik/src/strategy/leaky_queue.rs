//! [`LeakyQueue`]: a strict queue that entries leave whole, each in its turn.

use super::queue::{self, Queue};
use super::{Ask, Bucket, Op, State, Strategy, Twin, Verdict};
use crate::rate::Rate;

/// The leaky bucket as a queue: an entry of cost `c` leaves as a whole, `c · P / L` after its own arrival
/// or after its predecessor left, whichever is later. A hit of cost `c` passes if the costs in the queue
/// plus `c` are at most `L`.
///
/// State, up to 16 · `L` bytes a client: the time since when the queue has been moving, and a running sum
/// for each entry: at most `L` entries in the queue, and at most as many that have left. A hit finds the
/// head of the queue in `O(log n)` and joins at the end in amortised `O(1)`. Leaving times are exact
/// fractions. Round trips: 0 in memory, 1 on Redis.
///
/// **When:** work is really done one piece after another, so that a large piece holds its place until it is
/// finished. **When not:** in all other cases: [`LeakyBucket`](super::LeakyBucket) gives room back bit by
/// bit, and takes only 16 bytes.
///
/// A changed rate starts afresh. A refund shortens the queue from its end, unless the charge's own entry
/// has already left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeakyQueue;

impl LeakyQueue {
    /// Creates a queue that holds the rate's limit.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Strategy for LeakyQueue {
    fn name(&self) -> &str {
        "leaky_queue"
    }

    fn validate(&self, rate: &Rate) -> Result<(), String> {
        if rate.limit() <= queue::MOST {
            return Ok(());
        }
        Err(format!(
            "a queue sums costs below 2^53, so its limit can be at most {} (2^52 - 1), not {}; lower \
             the limit",
            queue::MOST,
            rate.limit()
        ))
    }

    fn capacity(&self, rate: &Rate) -> u64 {
        rate.limit()
    }

    fn tag(&self, rate: &Rate) -> String {
        Bucket::tag(self.name(), rate)
    }

    fn step(&self, state: &mut State, ask: &Ask<'_>) -> Verdict {
        let limit = ask.rate.limit();
        // If the clock stepped back, time stands still for this client.
        let queue = Queue::read(state, ask.now, ask.rate);
        let now = queue.last.max(ask.now);
        let first = queue.first_at(now, ask.rate);
        let level = queue.level(first);

        let mut after = level;
        let mut empty_at = if level > 0 { queue.leaves_at(queue.total(), ask.rate) } else { 0 };
        let (admitted, wait) = match ask.op {
            Op::Hit | Op::Check if ask.cost > limit => (false, Verdict::NEVER),
            Op::Hit | Op::Check if level.saturating_add(ask.cost) > limit => {
                let gone =
                    queue.leaves_at(queue.end_of(first, level.saturating_add(ask.cost) - limit), ask.rate);
                (false, gone.saturating_sub(ask.now))
            }
            Op::Check | Op::Settle { .. } => (true, 0),
            Op::Hit if ask.cost == 0 => (true, 0),
            Op::Hit => {
                let mut bytes = take(state, level);
                queue::join(&mut bytes, now, ask.cost, first, ask.rate);
                let queue = Queue::of(&bytes);
                (after, empty_at) = (level + ask.cost, queue.leaves_at(queue.total(), ask.rate));
                *state = State::Bytes(bytes);
                (true, 0)
            }
            Op::Refund { at } => {
                if level == 0 {
                    *state = State::Empty;
                } else if ask.gone_at > now && at.is_none_or(|at| at >= queue.run) {
                    let mut bytes = take(state, level);
                    queue::shorten(&mut bytes, now, ask.cost, first);
                    let queue = Queue::of(&bytes);
                    after = queue.level(queue.first_at(now, ask.rate));
                    empty_at = if after > 0 { queue.leaves_at(queue.total(), ask.rate) } else { 0 };
                    *state = if after > 0 { State::Bytes(bytes) } else { State::Empty };
                }
                (true, 0)
            }
            Op::Reset => {
                (after, empty_at) = (0, 0);
                *state = State::Empty;
                (true, 0)
            }
        };
        let keep = empty_at.saturating_sub(ask.now);
        Verdict {
            admitted,
            limit,
            used: after,
            remaining: limit.saturating_sub(after),
            wait,
            reset_after: keep,
            keep_for: keep,
        }
    }

    fn twin(&self) -> Option<Twin> {
        Some(Twin::LeakyQueue)
    }
}

/// The bytes to continue with: none if the queue is empty or could not be read.
fn take(state: &mut State, level: u64) -> Vec<u8> {
    match std::mem::take(state) {
        State::Bytes(bytes) if level > 0 => bytes,
        _ => Vec::new(),
    }
}
