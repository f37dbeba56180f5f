//! Installs the external tools that tests and checks need: `redis-server` and `cargo-deny`.

use crate::run::{Done, cargo, has, run};

/// A package manager, and the commands with which it installs Redis.
struct Manager {
    program: &'static str,
    steps: &'static [&'static [&'static str]],
}

const MANAGERS: &[Manager] = &[
    Manager { program: "apt-get", steps: &[&["update", "-q"], &["install", "-q", "-y", "redis-server"]] },
    Manager { program: "dnf", steps: &[&["install", "-y", "redis"]] },
    Manager { program: "apk", steps: &[&["add", "redis"]] },
    Manager { program: "pacman", steps: &[&["-S", "--noconfirm", "redis"]] },
    Manager { program: "brew", steps: &[&["install", "redis"]] },
];

/// Installs the tools that the tests and the checks need.
pub(crate) fn with_checks() -> Done {
    all()?;
    if has("cargo-deny") {
        return Ok(());
    }
    eprintln!("cargo-deny is missing; installing it with cargo");
    cargo(&["install", "cargo-deny", "--locked"])
}

/// Installs the tools that the tests need, and prints what it installs.
pub(crate) fn all() -> Done {
    if has("redis-server") {
        return Ok(());
    }
    let Some(manager) = MANAGERS.iter().find(|manager| has(manager.program)) else {
        return Err(
            "the tests start redis-server themselves, but it is not installed and no known package manager \
                    is either; install Redis 6.2 or later and put redis-server on the PATH"
                .into(),
        );
    };
    eprintln!("redis-server is missing; installing it with {}", manager.program);
    // Homebrew refuses to run as root; the others need to.
    let sudo = manager.program != "brew" && !is_root() && has("sudo");
    for step in manager.steps {
        if sudo {
            run("sudo", &[&[manager.program], *step].concat())?;
        } else {
            run(manager.program, step)?;
        }
    }
    if has("redis-server") {
        Ok(())
    } else {
        Err(format!("{} ran, but redis-server is still not on the PATH", manager.program))
    }
}

fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
