//! The tests, checks and benchmarks that the tasks run.

use crate::outside;
use crate::run::{Done, cargo, cargo_with, run, run_with};

/// Feature sets of the library that are checked, besides all features at once.
const FEATURE_SETS: &[&str] = &[
    "",
    "memory",
    "tower",
    "axum,memory",
    "redis",
    "redis-cluster",
    "redis-sentinel",
    "metrics",
    "memory,redis,test-kit",
    "ws",
];

/// The published crates, in the order in which they must be published.
const PUBLISHED: &[&str] = &["traffik-grammar", "traffik-macros", "traffik"];

/// Runs every test: unit, doc and ui tests, and integration tests, which start their own Redis processes.
pub(crate) fn test(rest: &[String]) -> Done {
    let mut args = vec!["test", "--workspace", "--exclude", "traffik-benches", "--all-features"];
    args.extend(rest.iter().map(String::as_str));
    cargo(&args)
}

/// Runs every check that must pass before a change lands.
pub(crate) fn ci(tested: bool) -> Done {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])?;
    for features in FEATURE_SETS {
        cargo(&[
            "clippy",
            "-p",
            "traffik",
            "--all-targets",
            "--no-default-features",
            "--features",
            features,
            "--",
            "-D",
            "warnings",
        ])?;
    }
    if !tested {
        test(&[])?;
    }
    cargo_with(
        &["doc", "--workspace", "--exclude", "traffik-benches", "--all-features", "--no-deps"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    // As most users build it, and with as little as possible: no link may point to an item that isn't there.
    for features in ["--features=default", "--no-default-features"] {
        cargo_with(&["doc", "-p", "traffik", "--no-deps", features], &[("RUSTDOCFLAGS", "-D warnings")])?;
    }
    packages()?;
    dependencies()
}

/// Checks licences, bans and sources, and known vulnerabilities if their database can be fetched.
fn dependencies() -> Done {
    cargo(&["deny", "check", "bans", "licenses", "sources"])?;
    if cargo(&["deny", "fetch", "db"]).is_err() {
        eprintln!("the advisory database is not available: known vulnerabilities were not checked");
        return Ok(());
    }
    cargo(&["deny", "check", "advisories"])
}

/// Packs every published crate as for upload, builds it from the packed files, and builds a program on top of them.
pub(crate) fn packages() -> Done {
    outside::forget(PUBLISHED, env!("CARGO_PKG_VERSION"))?;
    let mut args = vec!["package", "--allow-dirty"];
    for name in PUBLISHED {
        args.extend(["-p", name]);
    }
    cargo(&args)?;
    outside::check(PUBLISHED, env!("CARGO_PKG_VERSION"))
}

/// Checks the library with the oldest supported compiler.
pub(crate) fn msrv() -> Done {
    let version = env!("CARGO_PKG_RUST_VERSION");
    run("rustup", &["toolchain", "install", version, "--profile", "minimal"])?;
    let check =
        ["cargo", "check", "--locked", "-p", "traffik", "--all-features", "--target-dir", "target/msrv"];
    run("rustup", &[["run", version].as_slice(), &check].concat())
}

/// Runs the tests of the in-memory store's `unsafe` code under Miri, those with several threads in several orders.
pub(crate) fn miri() -> Done {
    let components = ["--component", "miri", "--component", "rust-src"];
    run("rustup", &[&["toolchain", "install", "nightly", "--profile", "minimal"], &components[..]].concat())?;
    let tests = |of: &[&str], seeds: &str| {
        let command = ["run", "nightly", "cargo", "miri", "test", "--locked", "-p", "traffik"];
        let features =
            ["--no-default-features", "--features", "memory,test-kit", "--target-dir", "target/miri"];
        // The clock is the system's, proptest reads the environment, and no pointer is made from an integer.
        let flags = format!("-Zmiri-disable-isolation -Zmiri-strict-provenance {seeds}");
        let environment = [("MIRIFLAGS", flags.as_str()), ("PROPTEST_CASES", "4")];
        run_with("rustup", &[&command[..], &features, of].concat(), &environment)
    };
    tests(&["--lib", "--", "memory::bucket", "memory::nodes", "memory::packed_state", "memory::tests"], "")?;
    tests(&["--test", "threads"], "-Zmiri-many-seeds=0..4")
}

/// Runs the benchmarks, which print their table. Without arguments they also write it to a file.
pub(crate) fn bench(rest: &[String]) -> Done {
    let mut args = vec!["run", "--release", "-p", "traffik-benches", "--"];
    args.extend(rest.iter().map(String::as_str));
    cargo(&args)
}
