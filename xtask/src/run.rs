//! Runs commands, and prints them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The result of a task: success, or a message about what went wrong.
pub(crate) type Done = Result<(), String>;

/// Returns the workspace's root, wherever the task was started.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Runs a command in the workspace's root, and shows its output.
pub(crate) fn run(program: &str, args: &[&str]) -> Done {
    run_with(program, args, &[])
}

/// Like [`run`], with environment variables.
pub(crate) fn run_with(program: &str, args: &[&str], variables: &[(&str, &str)]) -> Done {
    run_in(&root(), program, args, variables)
}

/// Like [`run_with`], in another folder.
fn run_in(folder: &Path, program: &str, args: &[&str], variables: &[(&str, &str)]) -> Done {
    let line = format!("{program} {}", args.join(" "));
    eprintln!("$ {line}");
    let status = Command::new(program)
        .args(args)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .status()
        .map_err(|error| format!("`{line}` did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed: {status}")) }
}

/// Runs the same cargo that runs this task.
pub(crate) fn cargo(args: &[&str]) -> Done {
    run(&env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args)
}

/// Like [`cargo`], with environment variables.
pub(crate) fn cargo_with(args: &[&str], variables: &[(&str, &str)]) -> Done {
    run_with(&env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args, variables)
}

/// Like [`cargo_with`], in another folder.
pub(crate) fn cargo_in(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Done {
    run_in(folder, &env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args, variables)
}

/// Returns whether a program can be started.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
