//! [`Loss`]: whether a connection was lost.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the losses of one manager's connection until it is known to be restored.
#[derive(Debug, Default)]
pub(super) struct Loss(AtomicU32);

impl Loss {
    pub(super) fn is_lost(&self) -> bool {
        self.count() != 0
    }

    pub(super) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn lost(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that the connection works, unless it has been lost again since there were so many losses.
    pub(super) fn restored(&self, losses: u32) {
        let _ = self.0.compare_exchange(losses, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_lost_again_is_not_restored() {
        let loss = Loss::default();
        assert!(!loss.is_lost());
        loss.lost();
        let losses = loss.count();
        loss.lost();
        loss.restored(losses);
        assert!(loss.is_lost());
        loss.restored(loss.count());
        assert!(!loss.is_lost());
    }
}
