//! The plot: time per hit by number of keys, with both axes logarithmic.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 50.0;

/// Colours that are distinguishable on light and dark backgrounds, and dashes for readers who cannot tell colours apart.
const LOOKS: [&str; 4] = [
    "stroke=\"#2f81f7\"",
    "stroke=\"#d29922\"",
    "stroke=\"#2f81f7\" stroke-dasharray=\"6 4\"",
    "stroke=\"#d29922\" stroke-dasharray=\"6 4\"",
];

/// Returns the coordinates of a point: 10^3 to 10^7 keys from left to right, 10 to 10 000 nanoseconds upwards.
fn place((keys, time): (f64, f64)) -> (f64, f64) {
    let right = (keys.log10() - 3.0) / 4.0;
    let up = (time.log10() - 1.0) / 3.0;
    (LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))
}

/// A line: a name, and a figure for each number of keys.
pub type Series = (String, Vec<(f64, f64)>);

pub fn draw(series: &[Series]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\" role=\"img\">\n<title>Time of a hit in memory by number of keys</title>\n\
         <style>text {{ fill: #57606a }} .grid {{ stroke: #8b949e; stroke-opacity: .35 }} \
         @media (prefers-color-scheme: dark) {{ text {{ fill: #9da7b3 }} }}</style>\n"
    );
    for power in 3..=7 {
        let (x, bottom) = place((10_f64.powi(power), 10.0));
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>"
        );
        let y = bottom + 18.0;
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">10{}</text>",
            raised(power)
        );
    }
    for power in 1..=4 {
        let (left, y) = place((1000.0, 10_f64.powi(power)));
        let right = WIDTH - RIGHT;
        let _ =
            writeln!(svg, "<line class=\"grid\" x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>");
        let (x, y) = (left - 8.0, y + 4.0);
        let name = ["10 ns", "100 ns", "1 µs", "10 µs"][power as usize - 1];
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{name}</text>");
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    let _ =
        writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">live keys</text>", HEIGHT - 10.0);
    let _ = writeln!(
        svg,
        "<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">time of a hit</text>",
        TOP + (HEIGHT - TOP - BOTTOM) / 2.0
    );
    for (line, ((name, points), look)) in series.iter().zip(LOOKS).enumerate() {
        let points: Vec<_> = points.iter().map(|&point| place(point)).collect();
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke-width=\"2\" {look}/>",
            path.join(" ")
        );
        let (x, y) = (WIDTH - RIGHT + 14.0, TOP + 20.0 + 22.0 * line as f64);
        let end = x + 28.0;
        let _ =
            writeln!(svg, "<line x1=\"{x}\" y1=\"{y}\" x2=\"{end}\" y2=\"{y}\" stroke-width=\"2\" {look}/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\">{name}</text>", end + 6.0, y + 4.0);
    }
    svg.push_str("</svg>\n");
    svg
}

fn raised(power: i32) -> char {
    ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷'][power as usize]
}
