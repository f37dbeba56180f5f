//! [`Congestion`]: how many calls may be in flight, so that each can be answered in time.
//!
//! A server that gets more calls than it can answer has a queue in front of it. Once that takes longer than the
//! deadline, *every* call fails: they are carried out in order, so each is charged and answered when nobody waits for
//! it any more. All of the server's work is then lost, and the queue stays until there is less to do. So once calls
//! have run into their deadline, fewer are sent, and the others fail without being sent. As with TCP, their number is
//! halved by calls that fail, and grows with those that are answered in time (D. Chiu and R. Jain, "Analysis of the
//! increase and decrease algorithms for congestion avoidance in computer networks", 1989).
//!
//! The price: a server that only pauses cannot be told from one that is overloaded, so towards the end of a pause longer
//! than the deadline, calls are held back that would have been answered after it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::health::Health;

/// What becomes of a call if there is no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::redis) enum IfBusy {
    Fail,
    Send,
}

/// No limit.
const UNLIMITED: u64 = u64::MAX;

/// How many calls may always be in flight: enough to learn that the server is back.
const LEAST: u64 = 4;

/// How often a call that finds no room tries again, each time after this part of its deadline. It is not held back for
/// long, because it will be answered only after those that are in flight.
const TRIES: u32 = 4;
const TRY_AFTER: u32 = 32;

/// After how many deadlines in which every call found room there is no limit any more.
const CALM: u64 = 10;

/// The limit grows by one with so many answers. The time that they take grows as slowly, so it ends where the queue takes
/// half of the time that there is for it, and not with calls that fail.
const ANSWERS: u64 = 8;

/// No call was answered yet.
const UNKNOWN: u64 = u64::MAX;

/// Counts the calls in flight to one server, and limits them after some were not answered in time.
///
/// Instants and durations are microseconds, on the scale of [`Health::now`]. If calls on several threads change the limit
/// at the same moment, one of the changes may be lost, which does no harm.
#[derive(Debug)]
pub(super) struct Congestion {
    deadline: Duration,
    in_flight: AtomicU64,
    limit: AtomicU64,
    /// Answers since the limit last grew.
    answers: AtomicU64,
    /// The shortest time to an answer: as long as a distant server takes without a queue.
    shortest: AtomicU64,
    /// When the limit last shrank.
    shrunk_at: AtomicU64,
    /// When a call last found no room.
    full_at: AtomicU64,
    /// When a call was last sent although there is a limit.
    sent_at: AtomicU64,
}

impl Congestion {
    /// Creates one for calls with this deadline.
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            in_flight: AtomicU64::new(0),
            limit: AtomicU64::new(UNLIMITED),
            answers: AtomicU64::new(0),
            shortest: AtomicU64::new(UNKNOWN),
            shrunk_at: AtomicU64::new(0),
            full_at: AtomicU64::new(0),
            sent_at: AtomicU64::new(0),
        }
    }

    /// Waits a little until another call may be sent. Returns whether it may.
    pub(super) async fn has_room(&self, health: &Health) -> bool {
        for _ in 0..TRIES {
            if self.has_room_now(health) {
                return true;
            }
            tokio::time::sleep(self.deadline / TRY_AFTER).await;
        }
        self.has_room_now(health)
    }

    fn has_room_now(&self, health: &Health) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == UNLIMITED || self.in_flight.load(Ordering::Relaxed) < limit {
            return true;
        }
        let now = health.now();
        // All calls in flight are past their deadlines, so nobody polls them any more, and they may never end.
        let last = self.sent_at.load(Ordering::Relaxed).max(self.shrunk_at.load(Ordering::Relaxed));
        if now.saturating_sub(last) > self.deadlines(2) {
            self.limit.store(UNLIMITED, Ordering::Relaxed);
            return true;
        }
        self.full_at.store(now, Ordering::Relaxed);
        false
    }

    /// Counts a call that is sent now, and returns how many are ahead of it.
    pub(super) fn sent(&self, now: u64) -> u64 {
        if self.limit.load(Ordering::Relaxed) != UNLIMITED {
            self.sent_at.store(now, Ordering::Relaxed);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts an answer, to a call that was sent at `since`.
    pub(super) fn answered(&self, since: u64, now: u64) {
        let in_flight = self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let took = now.saturating_sub(since);
        // Read before writing: it is hardly ever shorter.
        let mut shortest = self.shortest.load(Ordering::Relaxed);
        if took < shortest {
            shortest = self.shortest.fetch_min(took, Ordering::Relaxed).min(took);
        }
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == UNLIMITED {
            return;
        }
        let trouble_at = self.full_at.load(Ordering::Relaxed).max(self.shrunk_at.load(Ordering::Relaxed));
        if now.saturating_sub(trouble_at) > self.deadlines(CALM) {
            self.limit.store(UNLIMITED, Ordering::Relaxed);
            return;
        }
        // Few calls say nothing about many.
        let is_tight = in_flight.saturating_mul(2) >= limit;
        let (queued, spare) = (took - shortest, self.deadlines(1).saturating_sub(shortest));
        let may_grow =
            || queued < spare / 2 && self.answers.fetch_add(1, Ordering::Relaxed).is_multiple_of(ANSWERS);
        // As long as there is hardly a queue, every answer counts.
        if is_tight && (queued < spare / 4 || may_grow()) {
            // Not added to whatever it is by now: it may have been lifted.
            let order = Ordering::Relaxed;
            let _ = self.limit.compare_exchange(limit, limit + 1, order, order);
        }
    }

    /// Counts a call that was sent at `since`, behind `ahead` others, and came to nothing: it failed, or its caller went
    /// away.
    pub(super) fn unanswered(&self, since: u64, ahead: u64, now: u64) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let shrunk_at = self.shrunk_at.load(Ordering::Relaxed);
        // A call is in flight for less than its deadline if it was held back before.
        let is_overdue = now.saturating_sub(since) > self.deadlines(13) / 16;
        // One that was sent before the limit shrank says nothing about what that has brought.
        if !is_overdue || since <= shrunk_at {
            return;
        }
        // Of those that learn it together, one shrinks the limit.
        let order = Ordering::Relaxed;
        if self.shrunk_at.compare_exchange(shrunk_at, now, order, order).is_ok() {
            let limit = self.limit.load(Ordering::Relaxed).min(ahead);
            self.limit.store((limit / 2).max(LEAST), Ordering::Relaxed);
            if ahead < LEAST {
                // That was no queue of ours, so the server may be further away by now.
                self.shortest.store(UNKNOWN, Ordering::Relaxed);
            }
        }
    }

    fn deadlines(&self, many: u64) -> u64 {
        u64::try_from(self.deadline.as_micros()).unwrap_or(u64::MAX).saturating_mul(many)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Mutex;
    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep, sleep_until, timeout};

    use super::*;

    const DEADLINE: Duration = Duration::from_millis(100);

    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// A server that carries out one call after the other, whether or not anybody still waits for it.
    struct Server {
        takes: Duration,
        /// How long calls and answers are under way.
        distance: Mutex<Duration>,
        free_at: Mutex<Instant>,
    }

    impl Server {
        async fn answer(&self) {
            let mut free_at = self.free_at.lock().await;
            *free_at = free_at.max(Instant::now()) + self.takes;
            let done = *free_at;
            drop(free_at);
            let distance = *self.distance.lock().await;
            sleep_until(done + distance).await;
        }
    }

    /// A client of one server, which may limit its calls.
    struct Client {
        health: Health,
        congestion: Congestion,
        server: Server,
        is_limited: bool,
    }

    impl Client {
        fn new(takes: Duration, distance: Duration, is_limited: bool) -> Arc<Self> {
            let (distance, free_at) = (Mutex::new(distance), Mutex::new(Instant::now()));
            let server = Server { takes, distance, free_at };
            Arc::new(Self {
                health: Health::new(),
                congestion: Congestion::new(DEADLINE),
                server,
                is_limited,
            })
        }

        fn limit(&self) -> u64 {
            self.congestion.limit.load(Ordering::Relaxed)
        }

        /// Makes a call. Returns whether it was answered in time.
        async fn call(&self) -> bool {
            let mut sent = None;
            let call = async {
                if self.is_limited && !self.congestion.has_room(&self.health).await {
                    return false;
                }
                let since = self.health.now();
                sent = Some((since, self.congestion.sent(since)));
                self.server.answer().await;
                true
            };
            let in_time = timeout(DEADLINE, call).await.unwrap_or(false);
            match sent {
                Some((since, _)) if in_time => self.congestion.answered(since, self.health.now()),
                Some((since, ahead)) => self.congestion.unanswered(since, ahead, self.health.now()),
                None => {}
            }
            in_time
        }

        /// Makes so many calls at once, at this distance, for so long. Returns how many are answered in time, and of
        /// how many.
        async fn offer(self: &Arc<Self>, many: u32, every: Duration, duration: Duration) -> (u32, u32) {
            let (begin, mut calls) = (Instant::now(), JoinSet::new());
            while begin.elapsed() < duration {
                for _ in 0..many {
                    let client = self.clone();
                    calls.spawn(async move { client.call().await });
                }
                sleep(every).await;
            }
            let answers = calls.join_all().await;
            let in_time = answers.iter().filter(|in_time| **in_time).count();
            (u32::try_from(in_time).unwrap(), u32::try_from(answers.len()).unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_with_too_many_calls_answers_as_many_as_it_can_in_time() {
        for (many, every, takes, distance) in [
            (1, micros(1000), micros(2000), micros(0)),
            (1, micros(2000), micros(3000), micros(0)),
            (1, micros(1000), micros(4000), micros(0)),
            (10, micros(1000), micros(200), micros(0)),
            (20, micros(1000), micros(80), micros(0)),
            (5, micros(1000), micros(220), micros(40_000)),
        ] {
            let lasting = Duration::from_secs(3);
            let capacity = u32::try_from(lasting.as_micros() / takes.as_micros()).unwrap();
            let case = format!("{many} calls per {every:?}, each takes {takes:?}");
            let (in_time, _) = Client::new(takes, distance, false).offer(many, every, lasting).await;
            assert!(in_time < capacity / 4, "without a limit, most is lost: {in_time}; {case}");
            let (in_time, _) = Client::new(takes, distance, true).offer(many, every, lasting).await;
            assert!(in_time > capacity * 5 / 6, "{in_time} of {capacity} in time; {case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_held_back_as_long_as_all_are_answered_in_time() {
        for (many, every, takes, distance) in [
            (1, micros(1000), micros(1000), micros(0)),
            (20, micros(1000), micros(10), micros(95_000)),
            (2000, micros(100_000), micros(45), micros(0)),
        ] {
            let client = Client::new(takes, distance, true);
            let (in_time, all) = client.offer(many, every, Duration::from_secs(2)).await;
            assert_eq!((in_time, client.limit()), (all, UNLIMITED), "{many} calls per {every:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_gets_few_calls_and_all_of_them_soon_after_it_is_back() {
        let client = Client::new(micros(20), micros(0), true);
        *client.server.free_at.lock().await = Instant::now() + Duration::from_secs(3);
        let begin = Instant::now();
        client.offer(10, micros(1000), Duration::from_secs(2)).await;
        assert_eq!(client.limit(), LEAST);
        assert!(!client.call().await);
        *client.server.free_at.lock().await = Instant::now();
        assert!(begin.elapsed() < Duration::from_secs(3));
        client.offer(10, micros(1000), micros(10_000)).await;
        let (in_time, all) = client.offer(10, micros(1000), DEADLINE).await;
        assert_eq!(in_time, all, "after 10 ms");
        client.offer(10, micros(1000), DEADLINE * 11).await;
        assert_eq!(client.limit(), UNLIMITED);
    }

    /// Even if answers are under way for most of the deadline, be it from another server. `within` is in deadlines.
    #[tokio::test(start_paused = true)]
    async fn a_distant_server_gets_all_calls_again_soon_after_a_stall() {
        for (before, after, stall, within) in [
            (30, 30, 150, 4),
            (50, 50, 150, 6),
            (50, 50, 1000, 6),
            (80, 80, 150, 8),
            (80, 80, 1000, 8),
            (0, 80, 300, 8),
        ] {
            let client = Client::new(micros(20), Duration::from_millis(before), true);
            client.offer(2, micros(1000), DEADLINE * 2).await;
            let case = format!("first {before} and then {after} ms away, silent for {stall} ms");
            let stall = Duration::from_millis(stall);
            *client.server.free_at.lock().await = Instant::now() + stall;
            *client.server.distance.lock().await = Duration::from_millis(after);
            client.offer(2, micros(1000), stall + DEADLINE * within).await;
            let (in_time, all) = client.offer(2, micros(1000), DEADLINE).await;
            assert_eq!(in_time, all, "{case}");
            client.offer(2, micros(1000), DEADLINE * 11).await;
            assert_eq!(client.limit(), UNLIMITED, "{case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_nobody_polls_any_more_do_not_keep_others_out_forever() {
        let client = Client::new(micros(20), micros(0), true);
        *client.server.free_at.lock().await = Instant::now() + DEADLINE * 3;
        client.offer(1, micros(1000), DEADLINE * 2).await;
        assert_eq!(client.limit(), LEAST);
        for _ in 0..100 {
            client.congestion.sent(client.health.now());
        }
        let (in_time, all) = client.offer(1, micros(1000), DEADLINE).await;
        assert_eq!((in_time, client.limit()), (0, LEAST), "of {all}: they might still be answered");
        client.offer(1, micros(1000), DEADLINE).await;
        let (in_time, all) = client.offer(10, micros(1000), DEADLINE).await;
        assert_eq!(in_time, all, "after two deadlines");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_fail_early_or_are_given_up_change_nothing() {
        let client = Client::new(micros(20), micros(0), true);
        for _ in 0..100 {
            let since = client.health.now();
            let ahead = client.congestion.sent(since);
            sleep(DEADLINE / 2).await;
            client.congestion.unanswered(since, ahead, client.health.now());
        }
        assert_eq!(client.limit(), UNLIMITED);
        assert_eq!(client.congestion.in_flight.load(Ordering::Relaxed), 0);
    }
}
