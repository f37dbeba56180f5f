//! The guide's table of cluster and Sentinel faults, filled in by a run.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use traffik_tests::GRACE;

use crate::load::{DEADLINE, Sum};

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../traffik/src/docs/failover_table.md"))
}

/// Prints the outcome of one fault. With `TRAFFIK_WRITE=1`, also replaces its row in the table; otherwise only
/// checks that the table has such a row. The refused count is always 0, since the load panics on a refusal.
pub(crate) fn put(fault: &str, sum: &Sum, again: Duration) {
    /// Serializes tests that access the file.
    static FILE: Mutex<()> = Mutex::new(());

    let Sum { allowed, failed, longest } = sum;
    let (sent, longest, again) = (allowed + failed, longest.as_millis(), again.as_millis());
    println!(
        "fault: {fault}; sent / allowed / refused / failed: {sent} / {allowed} / 0 / {failed}; longest {longest} ms; \
         all counted again after {again} ms"
    );
    let _one = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut table = std::fs::read_to_string(file()).unwrap();
    let start = format!("| {fault} |");
    let old = table.lines().find(|line| line.starts_with(&start)).map(str::to_owned);
    if std::env::var("TRAFFIK_WRITE").is_ok_and(|value| value == "1") {
        let bound = (DEADLINE + GRACE).as_millis();
        assert!(longest <= bound, "this machine is too busy to write a table: its own timers are late");
        let row = format!("{start} {sent} / {allowed} / 0 / {failed} | {longest} ms | {again} ms |");
        match old {
            Some(old) => table = table.replace(&old, &row),
            None => table.push_str(&format!("{row}\n")),
        }
        std::fs::write(file(), table).unwrap();
    } else {
        assert!(old.is_some(), "{fault:?} is not in the table: run this with TRAFFIK_WRITE=1 and commit it");
    }
}
