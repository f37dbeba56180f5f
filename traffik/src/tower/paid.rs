//! [`Paid`]: what a request has been charged, plain or as a tab that a handler may still change.

use std::sync::Arc;

use crate::error::Error;
use crate::pipeline::Receipt;
use crate::reserve::Tab;
use crate::throttle::Throttle;
use crate::unstopped::Unstopped;

#[derive(Debug, Clone)]
pub(super) enum Paid {
    Receipt(Box<Receipt>),
    Tab(Arc<Tab>),
}

impl Paid {
    pub(super) fn new(receipt: Receipt, throttle: &Throttle, shared: bool) -> Self {
        if shared { Self::Tab(Self::open(receipt, throttle)) } else { Self::Receipt(receipt.into()) }
    }

    fn open(receipt: Receipt, throttle: &Throttle) -> Arc<Tab> {
        Arc::new(Tab::new(receipt, throttle.settings().on_cancel))
    }

    pub(super) fn tab(&self) -> Option<&Arc<Tab>> {
        match self {
            Self::Receipt(_) => None,
            Self::Tab(tab) => Some(tab),
        }
    }

    /// Becomes a tab, for a place where nobody holds a copy that could be given back.
    pub(super) fn share(&mut self, throttle: &Throttle) -> Arc<Tab> {
        match self {
            Self::Tab(tab) => tab.clone(),
            Self::Receipt(receipt) => {
                let tab = Self::open(Receipt::clone(receipt), throttle);
                *self = Self::Tab(tab.clone());
                tab
            }
        }
    }

    /// What was charged at first.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Receipt(receipt) => receipt.cost,
            Self::Tab(tab) => tab.receipt.cost,
        }
    }

    pub(super) fn uid(&self) -> &'static str {
        match self {
            Self::Receipt(receipt) => receipt.policy.uid(),
            Self::Tab(tab) => tab.receipt.policy.uid(),
        }
    }

    /// Gives back what is charged by now, into the window it was charged in.
    pub(super) async fn give_back(&self) -> Result<(), Error> {
        match self {
            Self::Receipt(receipt) => receipt.give_back(receipt.cost).await,
            Self::Tab(tab) => tab.give_back().await,
        }
    }
}

/// Gives back to the end, even if the request goes away meanwhile. Where no runtime is there to go on, what is left stays
/// charged.
pub(super) fn to_the_end(give_back: impl Future<Output = ()> + Send + 'static) -> Unstopped<()> {
    Unstopped::new(give_back, |()| Box::pin(std::future::ready(())), cut)
}

fn cut() {
    let error = "its client went away, and no runtime is there to give it back";
    tracing::warn!(target: "traffik", error, "the cost was not given back");
}
