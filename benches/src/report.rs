//! [`Report`]: the table of ratios, and the page made from it.

use std::fmt::Write as _;

use crate::measure::Spread;
use crate::plot::Series;

/// The target for a figure.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
    /// No target: reported for reference.
    None,
}

impl Target {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(value <= most),
            Self::AtLeast(least) => Some(value >= least),
            Self::Exactly(wanted) => Some(value == wanted),
            Self::None => None,
        }
    }

    fn word(self, unit: &str) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}{unit}"),
            Self::AtLeast(least) => format!("≥ {least}{unit}"),
            Self::Exactly(wanted) => format!("{wanted}{unit}"),
            Self::None => "–".into(),
        }
    }
}

#[derive(Debug)]
struct Row {
    cells: [String; 5],
    /// The peer that it is measured against; empty for a figure without one.
    peer: String,
    /// The value that is compared with the target.
    value: f64,
    met: Option<bool>,
}

/// The results of one run.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    tables: Vec<(String, Vec<Vec<String>>)>,
    series: Vec<Series>,
    unmeasured: Vec<String>,
}

const HEAD: &str = "| work | ours | against | ratio (lowest–highest) | target | |\n|---|---|---|---|---|---|";

impl Report {
    pub fn new() -> Self {
        println!("{HEAD}");
        Self::default()
    }

    fn row(&mut self, cells: [String; 5], peer: &str, value: f64, target: Target) {
        let row = Row { cells, peer: peer.into(), value, met: target.is_met(value) };
        println!("{}", row.line());
        self.rows.push(row);
    }

    /// Adds the ratio of our time to theirs, from the times of each round in nanoseconds.
    pub fn ratio(&mut self, work: &str, peer: &str, rounds: &[[f64; 2]], target: Target) {
        let ratio = Spread::of(rounds.iter().map(|[ours, theirs]| ours / theirs));
        let [ours, theirs] =
            [0, 1].map(|side| time(Spread::of(rounds.iter().map(|round| round[side])).median));
        let cells = [work.into(), ours, format!("{peer}: {theirs}"), spread(ratio), target.word("")];
        self.row(cells, peer, ratio.median, target);
    }

    /// Adds a single figure.
    pub fn figure(&mut self, work: &str, value: f64, unit: &str, target: Target) {
        let shown = format!("{}{unit}", digits(value));
        self.row([work.into(), shown, "–".into(), "–".into(), target.word(unit)], "", value, target);
    }

    /// Adds several figures for one quantity, judged by their median.
    pub fn figures(&mut self, work: &str, values: Spread, unit: &str, target: Target) {
        let shown = format!("{}{unit}", digits(values.median));
        let cells = [work.into(), shown, "–".into(), spread(values), target.word(unit)];
        self.row(cells, "", values.median, target);
    }

    /// Adds several figures for one quantity, judged by the highest.
    pub fn worst(&mut self, work: &str, values: Spread, unit: &str, target: Target) {
        let shown = format!("{}{unit}", digits(values.highest));
        let cells = [work.into(), shown, "–".into(), spread(values), target.word(unit)];
        self.row(cells, "", values.highest, target);
    }

    /// Adds a separate table; the first line is its header.
    pub fn table(&mut self, title: &str, lines: Vec<Vec<String>>) {
        println!("\n{}\n{HEAD}", table(title, &lines));
        self.tables.push((title.into(), lines));
    }

    pub fn series(&mut self, name: &str, points: Vec<(f64, f64)>) {
        self.series.push((name.into(), points));
    }

    /// Adds what could not be measured, and why.
    pub fn unmeasured(&mut self, what: impl Into<String>) {
        let what = what.into();
        println!("not measured: {what}");
        self.unmeasured.push(what);
    }

    /// Returns the judged figure of this work against this peer.
    ///
    /// # Errors
    /// Returns an error if it was not measured.
    pub fn median(&self, work: &str, peer: &str) -> Result<f64, String> {
        let row = self.rows.iter().find(|row| row.cells[0] == work && row.peer == peer);
        row.map(|row| row.value).ok_or_else(|| format!("{work:?} was not measured against {peer:?}"))
    }

    /// Returns a cell of the table line that begins with `first`.
    ///
    /// # Errors
    /// Returns an error if there is none.
    pub fn cell(&self, title: &str, first: &str, column: usize) -> Result<&str, String> {
        let table = self.tables.iter().find(|(name, _)| name == title);
        let line = table.and_then(|(_, lines)| lines.iter().find(|line| line[0] == first));
        let cell = line.and_then(|line| line.get(column));
        cell.map(String::as_str).ok_or_else(|| format!("{title:?} has no line {first:?}, column {column}"))
    }

    /// The lines of the plot.
    pub fn all_series(&self) -> &[Series] {
        &self.series
    }

    /// The text of `BENCHMARKS.md`.
    pub fn page(&self) -> String {
        let mut page = String::from(include_str!("page.md"));
        let _ = writeln!(page, "\n{HEAD}");
        for row in &self.rows {
            let _ = writeln!(page, "{}", row.line());
        }
        let judged = self.rows.iter().filter_map(|row| row.met);
        let (met, all) = (judged.clone().filter(|met| *met).count(), judged.count());
        let _ = writeln!(page, "\n{met} of {all} targets are met.\n");
        for (title, lines) in &self.tables {
            let _ = writeln!(page, "{}", table(title, lines));
        }
        let _ = writeln!(page, "![Time of a hit by number of keys](benches/keys.svg)\n");
        if !self.unmeasured.is_empty() {
            let _ = writeln!(page, "## Not measured\n");
            for what in &self.unmeasured {
                let _ = writeln!(page, "- {what}");
            }
            page.push('\n');
        }
        page.push_str(include_str!("missed.md"));
        page
    }
}

impl Row {
    fn line(&self) -> String {
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        format!("| {} | {met} |", self.cells.join(" | "))
    }
}

fn table(title: &str, lines: &[Vec<String>]) -> String {
    let mut text = format!("## {title}\n\n");
    for (place, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "| {} |", line.join(" | "));
        if place == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(line.len()));
        }
    }
    text
}

fn spread(spread: Spread) -> String {
    let [median, lowest, highest] = [spread.median, spread.lowest, spread.highest].map(digits);
    format!("{median} ({lowest}–{highest})")
}

/// Formats a number with about three significant digits.
pub fn digits(value: f64) -> String {
    match value.abs() {
        size if value.fract() == 0.0 || size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Formats nanoseconds with a readable unit.
pub fn time(nanoseconds: f64) -> String {
    if nanoseconds < 10_000.0 {
        format!("{} ns", digits(nanoseconds))
    } else {
        format!("{} µs", digits(nanoseconds / 1000.0))
    }
}
