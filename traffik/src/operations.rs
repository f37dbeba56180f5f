//! The operations on a throttle's accounts: hit, check, stat, reserve, quota, refund, reset.

use crate::attempt::{Attempt, Check, StatOf};
use crate::backend::Op;
use crate::error::Error;
use crate::pipeline;
use crate::quota::Quota;
use crate::reserve::Reserve;
use crate::subject::IntoSubject;
use crate::throttle::Throttle;

impl Throttle {
    /// Charges one hit, all or nothing.
    ///
    /// If the subject is a request (`&Parts`), its identity, cost and rules are evaluated; any other
    /// subject is the identity itself. Await the returned value, optionally after setting a
    /// [`cost`](Attempt::cost).
    ///
    /// # Errors
    /// Fails if the backend cannot decide, or if the throttle is misconfigured. Being over the limit is not
    /// an error: that is a [`Decision`](crate::Decision).
    pub fn hit<'a>(&'a self, subject: impl IntoSubject<'a>) -> Attempt<'a> {
        Attempt::new(self, subject.into_subject())
    }

    /// Returns what [`hit`](Throttle::hit) would return, without charging anything.
    ///
    /// # Errors
    /// Same as [`hit`](Throttle::hit).
    pub fn check<'a>(&'a self, subject: impl IntoSubject<'a>) -> Check<'a> {
        Check::new(self, subject.into_subject())
    }

    /// Returns the state of the subject's account.
    ///
    /// Returns `None` if nothing is counted: the subject is exempt, the rate is unlimited, the throttle is
    /// disabled or skipped by a rule, or the backend failed under `on_error = "allow"`.
    ///
    /// # Errors
    /// Same as [`hit`](Throttle::hit).
    pub fn stat<'a>(&'a self, subject: impl IntoSubject<'a>) -> StatOf<'a> {
        StatOf::new(self, subject.into_subject())
    }

    /// Charges a cost that is not known yet: an estimate, or the maximum. Settle the returned
    /// [`Reservation`](crate::Reservation) once the actual cost is known.
    ///
    /// # Errors
    /// Fails if the subject is over its limit, and otherwise in the same cases as [`hit`](Throttle::hit).
    pub fn reserve<'a>(&'a self, subject: impl IntoSubject<'a>) -> Reserve<'a> {
        Reserve::new(self, subject.into_subject())
    }

    /// Creates a queue of hits for one subject, to be charged together at the end or not at all.
    pub fn quota<'a>(&self, subject: impl IntoSubject<'a>) -> Quota<'a> {
        Quota::of(self, subject)
    }

    /// Gives units back, but never beyond a full account, and only into the current window, whenever they were charged.
    /// Work that may outlast its window should [`reserve`](Self::reserve) and settle instead.
    ///
    /// # Errors
    /// Fails if the backend call fails; it is then unknown whether anything was given back.
    pub async fn refund<'a>(&'a self, subject: impl IntoSubject<'a>, units: u64) -> Result<(), Error> {
        let entries = [pipeline::Entry::account(self)];
        pipeline::decide(&entries, subject.into_subject(), Op::Refund { at: None }, Some(units)).await?;
        Ok(())
    }

    /// Forgets what the subject has used.
    ///
    /// # Errors
    /// Fails if the backend call fails.
    pub async fn reset<'a>(&'a self, subject: impl IntoSubject<'a>) -> Result<(), Error> {
        let entries = [pipeline::Entry::account(self)];
        pipeline::decide(&entries, subject.into_subject(), Op::Reset, Some(1)).await?;
        Ok(())
    }
}
