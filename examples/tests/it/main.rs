//! Starts every example as its header says, sends the requests listed there, and checks the responses against
//! what the header promises.

// Test names say what the tests prove, and helpers are part of the tests.
#![allow(missing_docs, clippy::unwrap_used)]

mod chat;
mod client;
mod rows;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use client::Running;
use rows::{ROWS, Row, Step};

/// Limits count in windows of the wall clock, and the examples' clock can't be set. A run during which a window
/// ended proves nothing, and is repeated.
const TRIES: usize = 5;

/// How long a step may wait for the expected response, and the pause between two tries.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

fn window(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / seconds
}

fn run(row: &Row) {
    for _ in 0..TRIES {
        let example = Running::start(row.program);
        let (turn, started) = (window(row.window), Instant::now());
        let outcome = steps(row, &example);
        let late = row.within.is_some_and(|within| started.elapsed() > within);
        if !late && turn == window(row.window) {
            return outcome.unwrap_or_else(|error| panic!("{}: {error}", row.name));
        }
    }
    panic!("{}: the window turned in each of {TRIES} runs", row.name);
}

fn steps(row: &Row, example: &Running) -> Result<(), String> {
    for step in row.steps {
        let until = Instant::now() + PATIENCE;
        for (expected, nth) in step.statuses.iter().zip(1..) {
            let asked = format!("{} {} {:?}, request {nth}", step.method, step.path, step.headers);
            loop {
                match ask(step, *expected, nth == step.statuses.len(), example) {
                    Ok(()) => break,
                    Err(_) if step.waits && Instant::now() < until => std::thread::sleep(PAUSE),
                    Err(error) => return Err(format!("{asked}: {error}")),
                }
            }
        }
    }
    Ok(())
}

fn ask(step: &Step, expected: u16, last: bool, example: &Running) -> Result<(), String> {
    let answer = example.ask(step.method, step.path, step.headers, step.body);
    if answer.status() != expected {
        return Err(format!("expected {expected}, got {}", answer.text()));
    }
    match step.holds.iter().find(|text| last && !answer.holds(text)) {
        Some(missing) => Err(format!("no {missing:?} in {}", answer.text())),
        None => Ok(()),
    }
}

#[test]
fn every_example_has_a_row_and_says_how_to_run_it() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    let rows: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    assert_eq!(names, rows, "rows.rs has one row an example, in alphabetical order");
    for name in names {
        let source = std::fs::read_to_string(format!("{folder}/{name}.rs")).unwrap();
        let head = source.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n");
        assert!(head.contains(&format!("cargo run -p traffik-examples --bin {name}`")), "{name}: {head}");
    }
}

macro_rules! each {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(ROWS.iter().find(|row| row.name == stringify!($name)).unwrap());
        }
    )*

    #[test]
    fn every_row_is_run() {
        let run = [$(stringify!($name)),*];
        assert!(ROWS.iter().all(|row| run.contains(&row.name)), "name the new example in each!");
    }};
}

each! {
    admin_kill_switch behind_proxy bulk_write costs custom_backend custom_strategy degrade_gracefully exemptions
    failover layered llm_tokens multi_tenant observability quickstart report router_layer rules upload_bytes websocket_chat
}

#[test]
fn a_chat_hears_everyone_until_it_is_too_much() {
    let row = ROWS.iter().find(|row| row.name == "websocket_chat").unwrap();
    for _ in 0..TRIES {
        let example = Running::start(row.program);
        let turn = window(10);
        let heard = chat::talk(&example.address);
        if turn == window(10) {
            for (line, nth) in heard.iter().zip(1..) {
                if nth <= 5 {
                    assert_eq!(line, &format!("line {nth}"));
                } else {
                    assert!(
                        line.starts_with(r#"{"type":"rate_limit","error":"Too many messages""#),
                        "{line}"
                    );
                }
            }
            assert_eq!(heard.len(), 6);
            return;
        }
    }
    panic!("the window turned in each of {TRIES} runs");
}

#[test]
fn who_hangs_up_pays_for_the_tokens_that_were_sent() {
    let row = ROWS.iter().find(|row| row.name == "llm_tokens").unwrap();
    for _ in 0..TRIES {
        let example = Running::start(row.program);
        let turn = window(row.window);
        client::hang_up(&example.address, "/complete", "write 900", 500);
        let left = || {
            let answer = example.ask("GET", "/left", &[], "");
            let told = answer.text();
            let used = told.lines().last().and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
            used.unwrap_or_else(|| panic!("{told}"))
        };
        let until = Instant::now() + PATIENCE;
        let mut used = left();
        // Until the charge is settled, 500 tokens are reserved.
        while used == 500 && Instant::now() < until {
            std::thread::sleep(PAUSE);
            used = left();
        }
        if turn == window(row.window) {
            return assert!((20..900).contains(&used), "{used}");
        }
    }
    panic!("the window turned in each of {TRIES} runs");
}

const SECOND: Duration = Duration::from_secs(1);
