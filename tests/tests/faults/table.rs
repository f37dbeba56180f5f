//! The guide's table of faults, filled in by a run.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use traffik_tests::GRACE;

use crate::load::{Count, DEADLINE};

/// The outcome of one fault.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) open: Count,
    pub(crate) closed: Count,
    /// The time from the repair to the first decision.
    pub(crate) again: Duration,
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../traffik/src/docs/fault_table.md"))
}

fn shown(count: &Count) -> String {
    format!("{} / {} / {} / {}", count.sent, count.allowed, count.refused, count.failed)
}

impl Row {
    fn longest(&self) -> u128 {
        self.open.longest.max(self.closed.longest).as_millis()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, open, closed, again } = self;
        write!(
            f,
            "fault: {name}; sent / allowed / refused / failed: fail-open {}, fail-closed {}; \
             longest {} ms; counting again after {} ms",
            shown(open),
            shown(closed),
            self.longest(),
            again.as_millis()
        )
    }
}

/// Writes the table.
pub(crate) fn write(rows: &[Row]) {
    let mut table =
        "| fault | fail-open: sent / allowed / 429 / 503 | fail-closed: sent / allowed / 429 / 503 \
                     | longest wait | counting again after |\n|---|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        let bound = (DEADLINE + GRACE).as_millis();
        assert!(row.longest() <= bound, "this machine is too busy to write a table: its own timers are late");
        let Row { name, open, closed, again } = row;
        table.push_str(&format!(
            "| {name} | {} | {} | {} ms | {} ms |\n",
            shown(open),
            shown(closed),
            row.longest(),
            again.as_millis()
        ));
    }
    std::fs::write(file(), table).unwrap();
}

/// Asserts that the committed table lists exactly these faults.
pub(crate) fn committed_names_are(rows: &[Row]) {
    let table = std::fs::read_to_string(file()).unwrap();
    let names: Vec<_> = table.lines().skip(2).filter_map(|line| line.split(" | ").next()).collect();
    let run: Vec<_> = rows.iter().map(|row| format!("| {}", row.name)).collect();
    assert_eq!(names, run, "the table is out of date: run this with TRAFFIK_WRITE=1 and commit it");
}
