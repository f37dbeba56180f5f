//! Instruction counts, which are more stable than times: runs this program again under valgrind.

use std::hint::black_box;
use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use traffik::MemoryBackend;

use crate::http_calls;
use crate::identity::Identity;
use crate::memory::{Subject, governor, throttle};
use crate::report::{Report, digits};

/// The argument that makes this program run a single workload and exit.
pub const COUNTED: &str = "--counted";
const TIMES: usize = 2_000;

const WORK: &[(&str, &str)] = &[
    ("a hit on a `String`, ours", "ours string"),
    ("a hit on a `String`, governor keyed", "governor string"),
    ("a hit on an `IpAddr`, ours", "ours address"),
    ("a hit on an `IpAddr`, governor keyed", "governor address"),
    ("a bare axum call", "bare"),
    ("the same with an extractor that does nothing", "nothing"),
    ("with one attribute, the client exempt", "exempt"),
    ("with one attribute of cost 0", "free"),
    ("with one attribute", "attribute"),
    ("with one attribute and the default strategy", "default"),
    ("with two", "two attributes"),
    ("with tower_governor", "tower_governor"),
    ("with one attribute and `X-RateLimit-*`", "X-RateLimit"),
    ("with both families of headers", "both families"),
    ("with tower_governor `use_headers`", "tower_governor headers"),
    ("with axum-governor, both families of headers", "axum-governor"),
    ("with axum-limit", "axum-limit"),
];

pub fn run(report: &mut Report) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return report.unmeasured("instruction counts: valgrind is not installed");
    }
    let mut lines = vec![vec!["work".into(), "instructions".into()]];
    for (title, name) in WORK {
        // Take the lowest of three: under valgrind, reading the system clock may take so long that the counter's pace
        // cannot be measured, and then the clock is read at every hit.
        let counts: Result<Vec<_>, _> = (0..3).map(|_| count(name)).collect();
        match counts.map(|counts| counts.into_iter().fold(f64::INFINITY, f64::min)) {
            Ok(count) => lines.push(vec![(*title).into(), digits(count)]),
            Err(error) => report.unmeasured(format!("instructions of {title}: {error}")),
        }
    }
    report.table("Instructions", lines);
}

/// Returns the instructions of one repetition, counted only inside [`counted_once`].
fn count(name: &str) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=*instructions::counted*",
            "--callgrind-out-file=/dev/null",
        ])
        .arg(program)
        .args([COUNTED, name])
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("Collected :")).ok_or("valgrind counted nothing")?;
    let digits: String =
        line.split(':').next_back().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    Ok(digits.parse::<f64>().map_err(|error| error.to_string())?.round() / TIMES as f64)
}

/// Runs the workload of this name.
///
/// # Errors
/// Returns an error if there is no such workload.
pub fn one(name: &str) -> Result<(), String> {
    let (string, address) = (String::of(0), IpAddr::of(0));
    let throttle = throttle(MemoryBackend::new());
    match name {
        "ours string" => counted(|| {
            black_box(black_box(&string).hit(&throttle));
        }),
        "ours address" => counted(|| {
            black_box(black_box(&address).hit(&throttle));
        }),
        "governor string" => {
            let governor = governor();
            counted(|| drop(black_box(governor.check_key(black_box(&string)))));
        }
        "governor address" => {
            let governor = governor();
            counted(|| drop(black_box(governor.check_key(black_box(&address)))));
        }
        name => {
            let service =
                http_calls::service(name).ok_or_else(|| format!("there is no work {name:?} to count"))?;
            let runtime = http_calls::runtime();
            // Warm up, so that all clients are known before counting starts.
            http_calls::calls(&runtime, &service, http_calls::CLIENTS);
            counted_once(|| {
                http_calls::calls(&runtime, &service, TIMES);
            });
        }
    }
    Ok(())
}

fn counted(mut work: impl FnMut()) {
    // Give both sides time to calibrate their clocks.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(100) {
        work();
    }
    counted_once(|| (0..TIMES).for_each(|_| work()));
}

/// The function in which valgrind collects instructions.
#[inline(never)]
fn counted_once(work: impl FnOnce()) {
    work();
}
