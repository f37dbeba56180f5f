//! [`Health`]: what calls have learned about a server.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redis::RedisError;
use tokio::time::Instant;

/// How long commands fail immediately instead of trying again, after an attempt was refused or rejected, or the
/// connection was lost again with nothing answered in between.
const COOLDOWN: u64 = 50_000;

/// How long a connection may stay silent before it is considered dead. A peer that vanished without a word would
/// otherwise be waited for until TCP gives up, a quarter of an hour later.
const SILENT: u64 = 500_000;

/// What calls tell each other about a server: whether to leave it alone for a moment, and when to reconnect.
///
/// Instants are microseconds since it was created, and 0 stands for none. In milliseconds, a command that begins right
/// after another has lost the connection would mostly begin at the same instant.
#[derive(Debug)]
pub(super) struct Health {
    born: Instant,
    /// Until when commands fail immediately.
    cooldown_until: AtomicU64,
    /// Whether that is because the connection was refused.
    refused: AtomicBool,
    /// Since when no command has been answered.
    silent_since: AtomicU64,
    /// When a command last found its connection lost, with none answered since.
    lost_at: AtomicU64,
    /// From when on a server that says it is a replica is reconnected to.
    reconnect_at: AtomicU64,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            cooldown_until: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            silent_since: AtomicU64::new(0),
            lost_at: AtomicU64::new(0),
            reconnect_at: AtomicU64::new(0),
        }
    }

    /// The current instant, at least 1.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    /// Fails for a moment after [`refused`](Self::refused) or [`rejected`](Self::rejected).
    pub(super) fn fail_fast(&self) -> Result<(), RedisError> {
        if self.cooldown_until.load(Ordering::Relaxed) <= self.now() {
            return Ok(());
        }
        Err(if self.refused.load(Ordering::Relaxed) {
            io::Error::new(io::ErrorKind::ConnectionRefused, "the connection was refused a moment ago").into()
        } else {
            io::Error::other("the server rejected or closed the connection a moment ago").into()
        })
    }

    /// Nothing listens there.
    pub(super) fn refused(&self) {
        self.start_cooldown(true);
    }

    /// The server let nobody in, or closed the connection again and again.
    pub(super) fn rejected(&self) {
        self.start_cooldown(false);
    }

    fn start_cooldown(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
        self.cooldown_until.store(self.now().saturating_add(COOLDOWN), Ordering::Relaxed);
    }

    /// A command was answered.
    pub(super) fn answered(&self) {
        // Read before writing: most calls find nothing to change, and then can share the cache line.
        for trouble in [&self.silent_since, &self.lost_at] {
            if trouble.load(Ordering::Relaxed) != 0 {
                trouble.store(0, Ordering::Relaxed);
            }
        }
    }

    /// A command that began at `since` found its connection lost. Returns whether another one had before it began,
    /// with none answered in between: commands that are in flight together are lost together, which says nothing
    /// about the next connection.
    pub(super) fn lost_again(&self, since: u64) -> bool {
        let lost_at = self.lost_at.swap(self.now(), Ordering::Relaxed);
        lost_at != 0 && lost_at < since
    }

    /// A command that began at `since` got no answer. Returns whether the connection has been silent for so long that
    /// it is considered dead.
    pub(super) fn silent(&self, since: u64) -> bool {
        let first = match self.silent_since.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => since,
            Err(first) => first,
        };
        self.now().saturating_sub(first) >= SILENT
    }

    /// A new connection takes the place of the silent one.
    pub(super) fn reconnected(&self) {
        self.silent_since.store(0, Ordering::Relaxed);
    }

    /// Whether a server that says it is a replica may be reconnected to. Of several calls, one is told so, and then
    /// none for a moment.
    pub(super) fn may_reconnect(&self) -> bool {
        let (now, due) = (self.now(), self.reconnect_at.load(Ordering::Relaxed));
        let next = now.saturating_add(COOLDOWN);
        now >= due
            && self.reconnect_at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn pass(micros: u64) {
        tokio::time::advance(Duration::from_micros(micros)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_or_rejection_is_repeated_for_a_moment() {
        let health = Health::new();
        assert!(health.fail_fast().is_ok());
        health.refused();
        assert!(health.fail_fast().unwrap_err().is_connection_refusal());
        health.rejected();
        let error = health.fail_fast().unwrap_err();
        assert!(error.is_io_error() && !error.is_connection_refusal());
        assert_eq!(error.to_string(), "the server rejected or closed the connection a moment ago");
        pass(COOLDOWN + 1).await;
        assert!(health.fail_fast().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_lost_again_only_for_a_command_that_began_after_its_loss() {
        let health = Health::new();
        let since = health.now();
        pass(10).await;
        assert!(!health.lost_again(since));
        assert!(!health.lost_again(since), "both were in flight");
        pass(10).await;
        assert!(health.lost_again(health.now()), "as soon as it begins later");
        health.answered();
        pass(10).await;
        assert!(!health.lost_again(health.now()), "one was answered in between");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_first_command_without_an_answer() {
        let health = Health::new();
        pass(10).await;
        assert!(!health.silent(health.now()));
        pass(SILENT - 1).await;
        assert!(!health.silent(health.now()));
        pass(1).await;
        assert!(health.silent(health.now()));
        health.reconnected();
        assert!(!health.silent(health.now()), "a new connection has its own time");
        pass(SILENT).await;
        health.answered();
        assert!(!health.silent(health.now()), "one was answered in between");
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_is_reconnected_to_once_in_a_while() {
        let health = Health::new();
        assert!(health.may_reconnect());
        assert!(!health.may_reconnect());
        pass(COOLDOWN + 1).await;
        assert!(health.may_reconnect());
    }
}
