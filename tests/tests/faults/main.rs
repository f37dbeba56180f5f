//! Faults under load: each one is injected while requests keep coming. The outcome of every
//! request is asserted and printed.
//!
//! This is a single test, so that none of our other tests compete for the CPU while it measures time. With
//! `TRAFFIK_WRITE=1` it writes the guide's table.

#![forbid(unsafe_code)]
// Clippy does not recognize helper functions outside of `#[test]` as test code.
#![allow(clippy::unwrap_used)]

mod load;
mod scenes;
mod table;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_under_load() {
    let mut rows = Vec::new();
    for scene in scenes::all() {
        let row = scene.await;
        println!("{row}");
        rows.push(row);
    }
    assert_eq!(rows.len(), 11, "a fault was not injected");
    if std::env::var("TRAFFIK_WRITE").is_ok_and(|value| value == "1") {
        table::write(&rows);
    }
    table::committed_names_are(&rows);
}
