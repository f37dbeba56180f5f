//! The checks themselves.

use crate::outside;
use crate::run::{Done, cargo, cargo_with, run};

/// Feature sets of the library that people build, beside all of them at once.
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

/// The crates that are published, in the order in which they must be.
const PUBLISHED: &[&str] = &["traffik-grammar", "traffik-macros", "traffik"];

/// Every test: unit, doc, ui, integration with Redis processes of their own.
pub(crate) fn test(rest: &[String]) -> Done {
    let mut args = vec!["test", "--workspace", "--exclude", "traffik-benches", "--all-features"];
    args.extend(rest.iter().map(String::as_str));
    cargo(&args)
}

/// Everything that must hold before a change lands.
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
    // As whoever depends on the defaults builds it: nothing links to what is not there.
    cargo_with(&["doc", "-p", "traffik", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")])?;
    packages()?;
    dependencies()
}

/// Licences, bans and sources, always; known vulnerabilities where their database can be had.
fn dependencies() -> Done {
    cargo(&["deny", "check", "bans", "licenses", "sources"])?;
    if cargo(&["deny", "fetch", "db"]).is_err() {
        eprintln!("the advisory database cannot be had: known vulnerabilities were not looked for");
        return Ok(());
    }
    cargo(&["deny", "check", "advisories"])
}

/// Packs every published crate as it would be uploaded, builds it from the packed files, and a
/// program on top of them.
pub(crate) fn packages() -> Done {
    outside::forget(PUBLISHED, env!("CARGO_PKG_VERSION"))?;
    let mut args = vec!["package", "--allow-dirty"];
    for name in PUBLISHED {
        args.extend(["-p", name]);
    }
    cargo(&args)?;
    outside::check(PUBLISHED, env!("CARGO_PKG_VERSION"))
}

/// Builds the library with the oldest compiler that it is promised for.
pub(crate) fn lowest() -> Done {
    let version = env!("CARGO_PKG_RUST_VERSION");
    run("rustup", &["toolchain", "install", version, "--profile", "minimal"])?;
    let check =
        ["cargo", "check", "--locked", "-p", "traffik", "--all-features", "--target-dir", "target/lowest"];
    run("rustup", &[["run", version].as_slice(), &check].concat())
}

/// The benchmarks, which print and write their own table.
pub(crate) fn bench(rest: &[String]) -> Done {
    let mut args = vec!["run", "--release", "-p", "traffik-benches", "--"];
    args.extend(rest.iter().map(String::as_str));
    cargo(&args)
}
