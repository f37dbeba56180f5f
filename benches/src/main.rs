//! `cargo xtask bench [section …]`: runs this library and its peers on the same work and prints one table.
//!
//! A run of all sections writes `BENCHMARKS.md`, its plot and the figures in `README.md`; a run of selected sections only
//! prints.

#![allow(missing_docs, unreachable_pub, clippy::expect_used)]

mod build_time;
mod growth;
mod http_calls;
mod identity;
mod instructions;
mod measure;
mod memory;
mod peers;
mod plot;
mod publish;
mod redis_calls;
mod report;
mod summary;

use report::Report;

/// A section that can be run on its own: its name, and the function that runs it.
type Section = (&'static str, fn(&mut Report));

const SECTIONS: &[Section] = &[
    ("memory", memory::run),
    ("http", http_calls::run),
    ("redis", redis_calls::run),
    ("growth", growth::run),
    ("instructions", instructions::run),
    ("build", build_time::run),
];

fn main() -> Result<(), String> {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, ..] = &wanted[..]
        && first == instructions::COUNTED
    {
        return instructions::one(name);
    }
    if let Some(unknown) = wanted.iter().find(|name| SECTIONS.iter().all(|(known, _)| known != name)) {
        let known: Vec<_> = SECTIONS.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "there is no section {unknown:?}; take some of {}, or none for all",
            known.join(", ")
        ));
    }
    let all = wanted.is_empty();
    if all {
        wanted = SECTIONS.iter().map(|(name, _)| (*name).into()).collect();
    }
    let mut report = Report::new();
    for (_, run) in SECTIONS.iter().filter(|(name, _)| wanted.iter().any(|wanted| wanted == name)) {
        run(&mut report);
    }
    if all { publish::publish(&report) } else { Ok(()) }
}
