//! `cargo xtask <task>`: the same tasks for CI and for developers.

mod checks;
#[cfg(test)]
mod contributing;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod msrv;
mod outside;
mod plots;
mod run;
mod setup;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <task>

  test    install what the tests need, then run all of them: unit, doc, ui, integration
  ci      fmt, clippy with every relevant feature set, tests, docs, packaging, licences, bans
          and advisories of dependencies, and a program built from the packed crates alone
          (--tested: skip the tests, because they have just run)
  bench   measure this library and its peers on the same work, and write BENCHMARKS.md
  package pack the published crates, and build a program from the packed files alone
  msrv    check the library with the oldest supported compiler (installed by rustup)
  miri    run the tests of the in-memory store's unsafe code under Miri (installed by rustup)
  plots   draw the guide's diagrams from the strategies themselves
  setup   only install what the tests and the checks need
";

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let rest: Vec<_> = std::env::args().skip(2).collect();
    let done = match task.as_str() {
        "test" => setup::all().and_then(|()| checks::test(&rest)),
        "ci" => setup::with_checks().and_then(|()| checks::ci(rest.iter().any(|flag| flag == "--tested"))),
        "bench" => checks::bench(&rest),
        "package" => checks::packages(),
        "msrv" => checks::msrv(),
        "miri" => checks::miri(),
        "plots" => plots::write(),
        "setup" => setup::with_checks(),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
