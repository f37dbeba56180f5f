//! The guide: one chapter per topic, with every Rust sample tested as a doctest.
//!
//! | first steps | |
//! |---|---|
//! | [getting started](getting_started) | one dependency, one attribute, one server |
//! | [request costs](costs) | how much a request takes from the limit |
//! | [reserve and settle](reserve_and_settle) | charge for actual use |
//! | [several limits](several_limits) | one decision, all or nothing |
//! | [exemptions] | clients that are not counted |
//! | [context-aware backends](contexts) | a separate store for each tenant |
//!
//! | in depth | |
//! |---|---|
//! | [strategies] | how hits are counted, with diagrams |
//! | [identifiers and proxies](identifiers) | which client a request is charged to |
//! | [layers and rules](layers_and_rules) | limits for whole routers, and for some requests |
//! | [headers and responses](answers) | what clients are told |
//! | [WebSockets](websockets) | limits on connections and messages |
//! | [failure] | what happens when a backend is down |
//!
//! | operating and extending | |
//! |---|---|
//! | [observability] | events and metrics |
//! | [testing your own app](testing) | no sleeps, no shared state |
//! | [writing a backend](writing_a_backend) | your own store |
//! | [writing a strategy](writing_a_strategy) | your own way of counting |
//! | [production checklist](production) | what to check before going live |
//!
//! | reference | |
//! |---|---|
//! | [errors] | what each message means, and how to fix it |
//! | [FAQ](faq) | common questions and pitfalls |
//! | [migrating from tower_governor and governor](migrating_from_governor) | each name, and its equivalent here |
//! | [migrating from the Python library](migrating_from_python) | each name, and its equivalent here |
//! | [migrating from others](migrating_from_others) | limitador, slowapi, Flask-Limiter, express-rate-limit |
//!
//! This module contains only text, and exists only in the documentation.

/// Declares the chapters, each with the files and diagrams that follow it on its page.
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
    migrating_from_others;
    production;
    faq;
    errors;
}

#[doc = include_str!("docs/failure.md")]
#[doc = include_str!("docs/fault_table.md")]
#[doc = include_str!("docs/failover_table.md")]
pub mod failure {}
