//! [`LayerContext`]: what the layers around a place have left on a request.
//!
//! It is one extension, so that a single lookup tells a place that there are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Extensions;

use super::layer_records::LayerRecords;
use crate::app::Traffik;
use crate::decision::Stat;
use crate::reserve::OpenCharge;
use crate::throttle::Throttle;

#[derive(Debug, Clone, Default)]
pub(crate) struct LayerContext {
    /// The innermost router's, merged over those further out.
    pub(crate) traffik: Option<Traffik>,
    pub(super) records: LayerRecords,
}

/// Whether any request of this process has ever passed such a layer. Most programs have none, and reading
/// this is faster than searching a request's extensions. Relaxed is enough: whoever holds the request sees
/// what was stored before the request was handed on.
static IN_USE: AtomicBool = AtomicBool::new(false);

impl LayerContext {
    #[inline]
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        if IN_USE.load(Ordering::Relaxed) { extensions.get() } else { None }
    }

    /// Returns what the layers around have recorded, if there is anything.
    pub(super) fn records(extensions: &Extensions) -> Option<&LayerRecords> {
        Self::of(extensions).map(|context| &context.records).filter(|records| !records.is_empty())
    }

    /// Returns what the layers around have charged, outermost first.
    pub(super) fn charges(extensions: &Extensions) -> impl Iterator<Item = (&Throttle, Arc<OpenCharge>)> {
        Self::records(extensions).into_iter().flat_map(LayerRecords::charges)
    }

    /// Where the state of this throttle's account is kept, if a layer has applied it.
    pub(super) fn stat_mut<'a>(
        extensions: &'a mut Extensions,
        throttle: &Throttle,
    ) -> Option<&'a mut Option<Stat>> {
        extensions.get_mut::<Self>()?.records.stat_mut(throttle)
    }

    /// Adds to what is left on the request.
    pub(super) fn update(extensions: &mut Extensions, update: impl FnOnce(&mut Self)) {
        match extensions.get_mut::<Self>() {
            Some(context) => update(context),
            None => {
                if !IN_USE.load(Ordering::Relaxed) {
                    IN_USE.store(true, Ordering::Relaxed);
                }
                let mut context = Self::default();
                update(&mut context);
                extensions.insert(context);
            }
        }
    }
}
