//! Draws the guide's diagrams from the decisions of each strategy on the same bursty trace.

mod svg;
mod trace;

use std::fs;
use std::path::PathBuf;

use trace::Run;
use traffik::Priority;
use traffik::strategy::{
    Adaptive, CostAdaptive, FixedWindow, Gcra, IntoStrategy, LeakyBucket, LeakyQueue, PriorityReserve,
    Rollover, SlidingLog, SlidingWindow, Tiered, TimeOfDay, TokenBucket,
};

use crate::run::{Done, root};

/// Returns the file name and the contents of every picture.
fn all() -> Result<Vec<(&'static str, String)>, String> {
    let shares = PriorityReserve::new().share(Priority::Low, 40).share(Priority::Normal, 30);
    Ok(vec![
        draw("fixed_window", "FixedWindow", FixedWindow::new(), 1)?,
        draw("sliding_window", "SlidingWindow", SlidingWindow::new(), 1)?,
        draw("sliding_log", "SlidingLog", SlidingLog::new(), 1)?,
        draw("token_bucket", "TokenBucket", TokenBucket::new(), 1)?,
        draw("leaky_bucket", "LeakyBucket", LeakyBucket::new(), 1)?,
        draw("leaky_queue", "LeakyQueue", LeakyQueue::new(), 1)?,
        draw("gcra", "Gcra, burst 3", Gcra::new().burst(3), 1)?,
        draw("tiered", "Tiered, a client worth 2", Tiered::new().tier("premium", 2), 1)?,
        draw("adaptive", "Adaptive", Adaptive::new(), 1)?,
        draw("priority_reserve", "PriorityReserve, every third hit low, normal, critical", shares, 1)?,
        draw("rollover", "Rollover, half of what was left", Rollover::new(), 1)?,
        draw("time_of_day", "TimeOfDay, half from 20 s (noon) on", TimeOfDay::new().hours(12, 24, 50), 1)?,
        // With hits of the normal cost, it would look like a token bucket.
        draw("cost_adaptive", "CostAdaptive, hits of cost 2 where 1 is normal", CostAdaptive::new(), 2)?,
    ])
}

fn draw(
    name: &'static str,
    title: &str,
    strategy: impl IntoStrategy,
    cost: u64,
) -> Result<(&'static str, String), String> {
    let run = Run::of(name, strategy, cost).map_err(|error| format!("{name}: {error}"))?;
    Ok((name, svg::picture(title, &run)))
}

fn folder() -> PathBuf {
    root().join("traffik/src/docs/plots")
}

/// Draws all diagrams and writes them to files.
pub(crate) fn write() -> Done {
    fs::create_dir_all(folder()).map_err(|error| error.to_string())?;
    for (name, picture) in all()? {
        let path = folder().join(name).with_extension("svg");
        fs::write(&path, picture).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_pictures_are_what_is_drawn_now() {
        let drawn = all().unwrap();
        for (name, picture) in &drawn {
            let committed = fs::read_to_string(folder().join(name).with_extension("svg")).unwrap_or_default();
            assert!(
                committed == *picture,
                "{name}.svg is out of date; run `cargo xtask plots` and commit it"
            );
        }
        let files = fs::read_dir(folder()).unwrap().count();
        assert_eq!(files, drawn.len(), "a picture that nothing draws");
    }

    #[test]
    fn a_picture_is_one_block_of_html() {
        // In Markdown, a blank line would end the HTML block.
        for (name, picture) in all().unwrap() {
            assert!(picture.starts_with("<svg ") && picture.lines().all(|line| !line.is_empty()), "{name}");
        }
    }
}
