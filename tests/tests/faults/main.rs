//! Faults under load: each is injected while requests keep coming, and what became of every request
//! is asserted and printed.
//!
//! One test, so that nothing else of ours runs beside the clock. With `TRAFFIK_WRITE=1` it writes
//! the guide's table.

#![forbid(unsafe_code)]
// A test's helpers are tests too.
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
