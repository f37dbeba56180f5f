//! [`PendingChanges`]: switches and rules for throttles that do not exist yet.

use super::by_uid::ByUid;
use crate::rules::Rule;
use crate::throttle::Throttle;

/// The most uids that changes are kept for: operators enter the uids, and may misspell them.
pub(super) const MOST: usize = 1024;

/// Logs a change that there was no room for. Don't hold the registry's lock: the subscriber may call back
/// into the registry.
pub(super) fn warn_dropped(uid: &str) {
    tracing::warn!(
        target: "traffik", uid,
        "no throttle has this uid, and {MOST} other uids already have pending changes; this change was dropped",
    );
}

/// Switches and rules for throttles that have not entered the registry yet.
#[derive(Default)]
pub(super) struct PendingChanges {
    /// Whether new throttles start switched off.
    all_off: bool,
    by_uid: ByUid<ThrottleChanges>,
}

/// The switch and the rules for one of them.
#[derive(Default)]
struct ThrottleChanges {
    enabled: Option<bool>,
    rules: Vec<Rule>,
}

impl PendingChanges {
    pub(super) fn switch_all(&mut self, enabled: bool) {
        self.all_off = !enabled;
        // The later change wins, as it does for throttles that exist.
        self.by_uid.values_mut().for_each(|changes| changes.enabled = None);
        self.by_uid.retain(|changes| !changes.rules.is_empty());
    }

    /// Returns whether there was room for it.
    pub(super) fn switch(&mut self, uid: &str, enabled: bool) -> bool {
        let Some(changes) = self.changes(uid) else { return false };
        changes.enabled = Some(enabled);
        true
    }

    /// Keeps a rule, or returns it if there is no room for it.
    pub(super) fn add_rule(&mut self, uid: &str, rule: Rule) -> Option<Rule> {
        let Some(changes) = self.changes(uid) else { return Some(rule) };
        changes.rules.push(rule);
        None
    }

    fn changes(&mut self, uid: &str) -> Option<&mut ThrottleChanges> {
        if self.by_uid.len() >= MOST && self.by_uid.get(uid).is_none() {
            return None;
        }
        Some(self.by_uid.get_or_insert(uid, ThrottleChanges::default))
    }

    /// Applies the pending changes to a throttle that enters now.
    pub(super) fn apply_to(&mut self, throttle: &Throttle) {
        let changes = self.by_uid.remove(throttle.uid()).unwrap_or_default();
        if !changes.enabled.unwrap_or(!self.all_off) {
            throttle.set_enabled(false);
        }
        for rule in changes.rules {
            if let Err(error) = throttle.add_rule(rule) {
                tracing::error!(target: "traffik", uid = throttle.uid(), %error, "a rule was not added");
            }
        }
    }
}
