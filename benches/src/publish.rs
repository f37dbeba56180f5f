//! Writes what a run of all sections found to where people read it.

use std::path::Path;

use crate::report::Report;
use crate::{plot, summary};

/// Writes `BENCHMARKS.md`, the plot beside it, and the figures in `README.md`.
///
/// # Errors
/// Returns an error if a file cannot be read or written.
pub fn publish(report: &Report) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let write = |name: &str, text: String| {
        let path = root.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
    };
    write("BENCHMARKS.md", report.page())?;
    write("benches/keys.svg", plot::draw(report.all_series()))?;
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme)
        .map_err(|error| format!("{} cannot be read: {error}", readme.display()))?;
    match summary::written_into(&text, report) {
        Ok(text) => write("README.md", text),
        Err(error) => {
            println!("README.md keeps its figures: {error}");
            Ok(())
        }
    }
}
