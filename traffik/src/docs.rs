//! The guide: one chapter an idea, and every sample compiled and run.
//!
//! | to begin | |
//! |---|---|
//! | [getting started](getting_started) | one dependency, one line, one server |
//! | [request costs](costs) | what a request takes from the limit |
//! | [reserve and settle](reserve_and_settle) | pay for what was used |
//! | [several limits](several_limits) | one decision, all or nothing |
//! | [exemptions] | clients that are not counted |
//! | [context-aware backends](contexts) | each tenant on a store of its own |
//!
//! | to decide | |
//! |---|---|
//! | [strategies] | how hits are counted, with pictures |
//! | [identifiers and proxies](identifiers) | on whose account a request goes |
//! | [layer and rules](layers_and_rules) | whole routers, and which requests |
//! | [headers and answers](answers) | what clients are told |
//! | [WebSockets](websockets) | connections and messages |
//! | [failure] | what an outage means |
//!
//! | to run and to extend | |
//! |---|---|
//! | [observability] | events and metrics |
//! | [testing your own app](testing) | no sleeps, no shared state |
//! | [writing a backend](writing_a_backend) | a store of your own |
//! | [writing a strategy](writing_a_strategy) | a rule of your own |
//! | [production checklist](production) | before it matters |
//!
//! | to look up | |
//! |---|---|
//! | [errors] | what each message means, and what mends it |
//! | [questions](faq) | and what others ran into |
//! | [from tower_governor and governor](migrating_from_governor) | each name, and ours |
//! | [from the Python library](migrating_from_python) | each name, and ours |
//!
//! This module holds nothing but text, and is there in the documentation alone.

/// A chapter, and what follows it on its page.
macro_rules! chapters {
    ($($name:ident $(+ $more:literal)* $(, $picture:literal as $title:literal)*;)*) => {$(
        #[doc = include_str!(concat!("docs/", stringify!($name), ".md"))]
        $(#[doc = include_str!(concat!("docs/", $more, ".md"))])*
        $(
            #[doc = concat!("\n## ", $title, "\n")]
            #[doc = include_str!(concat!("docs/plots/", $picture, ".svg"))]
        )*
        pub mod $name {}
    )*};
}

chapters! {
    getting_started;
    costs;
    reserve_and_settle;
    several_limits;
    exemptions;
    contexts;
    strategies + "strategy_table" + "strategy_pictures",
        "fixed_window" as "FixedWindow",
        "sliding_window" as "SlidingWindow",
        "sliding_log" as "SlidingLog",
        "token_bucket" as "TokenBucket",
        "leaky_bucket" as "LeakyBucket",
        "leaky_queue" as "LeakyQueue",
        "gcra" as "Gcra",
        "tiered" as "Tiered",
        "priority_reserve" as "PriorityReserve",
        "rollover" as "Rollover",
        "time_of_day" as "TimeOfDay",
        "adaptive" as "Adaptive",
        "cost_adaptive" as "CostAdaptive";
    identifiers;
    layers_and_rules;
    answers;
    websockets;
    observability;
    testing;
    writing_a_backend;
    writing_a_strategy;
    migrating_from_governor;
    migrating_from_python;
    production;
    faq;
    errors;
}

#[doc = include_str!("docs/failure.md")]
#[doc = include_str!("docs/fault_table.md")]
#[doc = include_str!("docs/failover_table.md")]
pub mod failure {}
