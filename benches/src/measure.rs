//! Interleaved measurement: ours and theirs in turn, ratios pair by pair.
//!
//! The machine drifts, so single times mean little. Each round times both sides one right after the
//! other, and what is reported is the median of the rounds' ratios with their spread.

use std::sync::{Arc, Barrier};
use std::time::Instant;

/// One side of a comparison: does `n` operations on `threads` threads, and says how long one took,
/// in nanoseconds per operation and thread.
pub type Side<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// A row of the table.
#[derive(Debug, Clone)]
pub struct Row {
    pub work: String,
    pub peer: String,
    pub ours: f64,
    pub theirs: f64,
    /// Lowest, median and highest ratio.
    pub ratio: [f64; 3],
    pub target: String,
    pub met: Option<bool>,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Times both sides in turn, `rounds` times.
pub fn compare(
    work: &str,
    peer: &str,
    target: f64,
    rounds: usize,
    mut ours: Side<'_>,
    mut theirs: Side<'_>,
) -> Row {
    ours();
    theirs();
    let (mut mine, mut others, mut ratios) = (vec![], vec![], vec![]);
    for round in 0..rounds {
        // Whoever goes first warms the caches for neither: the order alternates.
        let (a, b) = if round % 2 == 0 {
            let a = ours();
            (a, theirs())
        } else {
            let b = theirs();
            (ours(), b)
        };
        mine.push(a);
        others.push(b);
        ratios.push(a / b);
    }
    let middle = median(&mut ratios);
    let row = Row {
        work: work.into(),
        peer: peer.into(),
        ours: median(&mut mine),
        theirs: median(&mut others),
        ratio: [ratios[0], middle, ratios[ratios.len() - 1]],
        target: format!("≤ {target}"),
        met: Some(middle <= target),
    };
    println!("{}", row.line());
    row
}

impl Row {
    pub fn line(&self) -> String {
        format!(
            "| {} | {} | {:.1} ns | {:.1} ns | {:.2} ({:.2}–{:.2}) | {} | {} |",
            self.work,
            self.peer,
            self.ours,
            self.theirs,
            self.ratio[1],
            self.ratio[0],
            self.ratio[2],
            self.target,
            match self.met {
                Some(true) => "met",
                Some(false) => "missed",
                None => "–",
            }
        )
    }
}

/// Runs `work(thread, i)` for `i` in `0..n` on each of `threads` threads at once; nanoseconds per
/// operation, as each thread sees it.
pub fn on_threads(threads: usize, n: usize, work: impl Fn(usize, usize) + Sync) -> f64 {
    if threads == 1 {
        let start = Instant::now();
        for i in 0..n {
            work(0, i);
        }
        return start.elapsed().as_nanos() as f64 / n as f64;
    }
    let barrier = Arc::new(Barrier::new(threads));
    let total: f64 = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, work) = (barrier.clone(), &work);
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    for i in 0..n {
                        work(thread, i);
                    }
                    start.elapsed().as_nanos() as f64
                })
            })
            .collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).sum()
    });
    total / (threads * n) as f64
}
