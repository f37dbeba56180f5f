//! Draws a run: hits per half second above, what remains below, with a common time axis.
//!
//! Text and axes take the colour of the surrounding text; a standalone picture follows the reader's colour scheme.
//! The background is transparent.

use std::fmt::Write as _;

use super::trace::{BIN_MS, Run, SECONDS};

const LEFT: f64 = 56.0;
const WIDTH: f64 = 700.0;
/// The upper panel's baseline and height.
const HITS: (f64, f64) = (160.0, 110.0);
/// The lower panel's baseline and height.
const REMAINING: (f64, f64) = (300.0, 110.0);
const MOST_HITS: f64 = 4.0;

/// The colours of text, admitted hits, refused hits and the remaining units.
type Colours = [&'static str; 4];

const LIGHT: Colours = ["#333", "#2a8f5b", "#d1603d", "#3b7dd8"];
const DARK: Colours = ["#ddd", "#4fbf87", "#f08a66", "#7db0f5"];

/// Returns the CSS for the colours of the pictures under `parent`.
fn colours(parent: &str, [text, admitted, refused, line]: Colours) -> String {
    let plot = format!("{parent}.traffik-plot");
    format!(
        "{plot}{{color:{text}}}{plot} .a{{fill:{admitted}}}{plot} .r{{fill:{refused}}}{plot} .l{{stroke:{line}}}"
    )
}

/// Returns the style sheet. rustdoc sets its theme on `<html>`, regardless of the system's preference; anywhere else
/// the system's preference applies.
fn style() -> String {
    let system = format!("{}@media (prefers-color-scheme:dark){{{}}}", colours("", LIGHT), colours("", DARK));
    let themes = [("light", LIGHT), ("dark", DARK), ("ayu", DARK)];
    let themes = themes.map(|(theme, palette)| colours(&format!("[data-theme={theme}] "), palette));
    format!("<style>{system}{}</style>", themes.concat())
}

fn x(ms: u64) -> f64 {
    LEFT + WIDTH * ms as f64 / (SECONDS * 1_000) as f64
}

struct Picture(String);

impl Picture {
    /// Adds a line. Writing to a string cannot fail.
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}");
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: &str, text: &str) {
        self.line(format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#));
    }

    fn rule(&mut self, from: (f64, f64), to: (f64, f64), rest: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.line(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="currentColor" {rest}/>"#
        ));
    }

    fn bar(&mut self, class: &str, left: f64, bottom: f64, height: f64) {
        let (width, top) = (x(BIN_MS) - x(0) - 1.5, bottom - height);
        self.line(format_args!(
            r#"<rect class="{class}" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"/>"#
        ));
    }

    /// Draws a panel's axes, with marks at the given values.
    fn axes(&mut self, (base, height): (f64, f64), label: &str, most: f64, marks: &[f64]) {
        self.rule((LEFT, base), (LEFT + WIDTH, base), "");
        self.rule((LEFT, base), (LEFT, base - height), "");
        for mark in marks {
            let y = base - height * mark / most;
            self.rule((LEFT, y), (LEFT + WIDTH, y), r#"stroke-opacity="0.15""#);
            self.text((LEFT - 6.0, y + 4.0), "end", &format!("{mark}"));
        }
        let middle = base - height / 2.0;
        self.line(format_args!(
            r#"<text x="14" y="{middle:.1}" text-anchor="middle" transform="rotate(-90 14 {middle:.1})">{label}</text>"#
        ));
    }
}

pub(super) fn picture(title: &str, run: &Run) -> String {
    let mut picture = Picture(String::new());
    let offered: u32 = run.bins.iter().map(|bin| bin.admitted + bin.refused).sum();
    let admitted: u32 = run.bins.iter().map(|bin| bin.admitted).sum();
    let refused = offered - admitted;
    picture.line(format_args!(
        r#"<svg class="traffik-plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 350" width="100%" role="img" aria-label="{title}: of {offered} hits {admitted} admitted, {refused} refused" font-family="sans-serif" font-size="12" fill="currentColor">"#
    ));
    picture.line(format_args!("{}", style()));
    picture.line(format_args!(r#"<text x="{LEFT}" y="18" font-weight="bold">{title} — 10 per 10 s</text>"#));
    legend(&mut picture, offered, admitted, refused);
    hits(&mut picture, run);
    remaining(&mut picture, run);
    let (base, _) = REMAINING;
    for second in (0..=SECONDS).step_by(5) {
        let x = x(second * 1_000);
        for (base, height) in [HITS, REMAINING] {
            // Mark the edges of windows.
            let opacity = if second % 10 == 0 {
                r#"stroke-opacity="0.35" stroke-dasharray="2 3""#
            } else {
                r#"stroke-opacity="0""#
            };
            picture.rule((x, base), (x, base - height), opacity);
        }
        picture.text((x, base + 16.0), "middle", &format!("{second}"));
    }
    picture.text((LEFT + WIDTH / 2.0, base + 36.0), "middle", "time in seconds (dashed: calendar windows)");
    picture.line(format_args!("</svg>"));
    picture.0
}

fn legend(picture: &mut Picture, offered: u32, admitted: u32, refused: u32) {
    picture.bar("a", LEFT, 40.0, 10.0);
    picture.text((LEFT + 12.0, 39.0), "start", &format!("admitted: {admitted}"));
    picture.bar("r", LEFT + 110.0, 40.0, 10.0);
    picture.text((LEFT + 122.0, 39.0), "start", &format!("refused: {refused}"));
    picture.text((LEFT + 220.0, 39.0), "start", &format!("both together: offered, {offered}"));
}

fn hits(picture: &mut Picture, run: &Run) {
    let (base, height) = HITS;
    picture.axes(HITS, "hits per ½ s", MOST_HITS, &[2.0, 4.0]);
    for (bin, place) in run.bins.iter().zip(0_u64..) {
        let left = x(place * BIN_MS);
        let tall = |hits: u32| height * f64::from(hits) / MOST_HITS;
        if bin.admitted > 0 {
            picture.bar("a", left, base, tall(bin.admitted));
        }
        if bin.refused > 0 {
            picture.bar("r", left, base - tall(bin.admitted), tall(bin.refused));
        }
    }
}

fn remaining(picture: &mut Picture, run: &Run) {
    let (base, height) = REMAINING;
    let limit = run.limit as f64;
    picture.axes(REMAINING, "remaining units", limit, &[0.0, (limit / 2.0).floor(), limit]);
    let step = SECONDS * 1_000 / run.remaining.len() as u64;
    let mut points = String::new();
    let mut last = None;
    for (left, place) in run.remaining.iter().zip(0_u64..) {
        let (x, y) = (x(place * step), base - height * *left as f64 / limit);
        // Draw steps, because the remaining units stay the same until they change.
        if last != Some(y) {
            if let Some(before) = last {
                let _ = write!(points, "{x:.1},{before:.1} ");
            }
            let _ = write!(points, "{x:.1},{y:.1} ");
        }
        last = Some(y);
    }
    let _ = write!(points, "{:.1},{:.1}", LEFT + WIDTH, last.unwrap_or(base));
    picture.line(format_args!(r#"<polyline class="l" points="{points}" fill="none" stroke-width="2"/>"#));
}
