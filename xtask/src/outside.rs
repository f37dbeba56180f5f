//! Tests the packed crates as an outside program sees them: unpacks them elsewhere, and builds and runs a program from
//! nothing but the packed files.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::run::{Done, cargo, cargo_in, root, run};

/// A throttled server that sends requests to itself.
const PROGRAM: &str = include_str!("outside/program.rs");
const MANIFEST: &str = include_str!("outside/manifest.txt");

/// Unpacks the output of `cargo package`, builds and runs a program on top of it, and builds the documentation from the
/// packed files.
pub(crate) fn check(crates: &[&str], version: &str) -> Done {
    let target = root().join("target");
    let outside = target.join("outside");
    let wrong = |error: std::io::Error| format!("{}: {error}", outside.display());
    if outside.exists() {
        fs::remove_dir_all(&outside).map_err(wrong)?;
    }
    fs::create_dir_all(outside.join("src")).map_err(wrong)?;
    for name in crates {
        let packed = target.join(format!("package/{name}-{version}.crate"));
        run("tar", &["-xzf", &packed.display().to_string(), "-C", &outside.display().to_string()])?;
        complete(&outside.join(format!("{name}-{version}")))?;
    }
    fs::write(outside.join("Cargo.toml"), MANIFEST.replace("VERSION", version)).map_err(wrong)?;
    fs::write(outside.join("src/main.rs"), PROGRAM).map_err(wrong)?;
    // Use the same versions of all dependencies, which are already downloaded.
    fs::copy(root().join("Cargo.lock"), outside.join("Cargo.lock")).map_err(wrong)?;
    let target = target.display().to_string();
    cargo_in(&outside, &["run", "--quiet", "--target-dir", &target], &[])?;
    let docs = ["doc", "-p", "traffik", "--no-deps", "--all-features", "--target-dir", &target];
    cargo_in(&outside, &docs, &[("RUSTDOCFLAGS", "-D warnings")])
}

/// Makes cargo unpack and build these crates anew. Cargo caches crates by version, and would otherwise build one crate
/// against an outdated state of another.
pub(crate) fn forget(crates: &[&str], version: &str) -> Done {
    let clean = crates.iter().flat_map(|name| ["-p", name]);
    cargo(&["clean"].into_iter().chain(clean).collect::<Vec<_>>())?;
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let Some(home) = home.or_else(|| Some(env::home_dir()?.join(".cargo"))) else { return Ok(()) };
    // If nothing was ever unpacked, there is nothing to remove.
    let Ok(registries) = fs::read_dir(home.join("registry/src")) else { return Ok(()) };
    for registry in registries.flatten() {
        for name in crates {
            let unpacked = registry.path().join(format!("{name}-{version}"));
            if unpacked.is_dir() {
                fs::remove_dir_all(&unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))?;
            }
        }
    }
    Ok(())
}

/// Checks that a packed crate contains the required files.
fn complete(folder: &Path) -> Done {
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"] {
        if !folder.join(file).is_file() {
            return Err(format!("{} has no {file}", folder.display()));
        }
    }
    Ok(())
}
