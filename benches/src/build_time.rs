//! Measures what the library adds to a clean release build of a hello-world axum app.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::measure::Spread;
use crate::report::{Report, Target};

/// How often both are built, in turn.
const ROUNDS: usize = 3;

const MAIN: &str = r#"use axum::{Router, routing::get};
#ATTRIBUTE
async fn hello() -> &'static str { "hello" }

#[tokio::main]
async fn main() {
    let app = Router::new().route("/", get(hello));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    SERVE
}
"#;

pub fn run(report: &mut Report) {
    let folder = std::env::temp_dir().join(format!("traffik-build-time-{}", std::process::id()));
    match measure(&folder) {
        Ok(rounds) => {
            let bare = Spread::of(rounds.iter().map(|[bare, _]| *bare));
            let added = Spread::of(rounds.iter().map(|[bare, with]| with - bare));
            report.figures("a clean release build of hello-axum, for reference", bare, " s", Target::None);
            report.figures("added by traffik", added, " s", Target::AtMost(8.0));
        }
        Err(error) => report.unmeasured(format!("build time: {error}")),
    }
    // If this fails, what remains is in the temporary directory and does no harm.
    let _ = fs::remove_dir_all(&folder);
}

/// Returns the seconds of a build without the library and of one with it, round by round.
fn measure(folder: &Path) -> Result<Vec<[f64; 2]>, String> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join("traffik");
    let bare = project(folder, "bare", "", "#", "axum::serve(listener, app).await.unwrap();")?;
    let dependency = format!("traffik = {{ path = {library:?} }}\n");
    let attribute = "#[traffik::throttle(\"hello\", rate = \"20/min\")]";
    let with = project(
        folder,
        "with",
        &dependency,
        attribute,
        "traffik::axum::serve(listener, app).await.unwrap();",
    )?;
    // Resolving and downloading dependencies is not part of the measured build.
    build(&bare, &["fetch"])?;
    build(&with, &["fetch"])?;
    (0..ROUNDS).map(|_| Ok([timed(&bare)?, timed(&with)?])).collect()
}

fn project(
    folder: &Path,
    name: &str,
    dependency: &str,
    attribute: &str,
    serve: &str,
) -> Result<std::path::PathBuf, String> {
    let root = folder.join(name);
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         axum = \"0.8\"\ntokio = {{ version = \"1\", features = [\"full\"] }}\n{dependency}"
    );
    let main =
        MAIN.replace("#ATTRIBUTE", if attribute == "#" { "" } else { attribute }).replace("SERVE", serve);
    let write = |path: &Path, text: &str| {
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    fs::create_dir_all(root.join("src")).map_err(|error| error.to_string())?;
    write(&root.join("Cargo.toml"), &manifest)?;
    write(&root.join("src/main.rs"), &main)?;
    Ok(root)
}

fn build(root: &Path, words: &[&str]) -> Result<(), String> {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.args(words).current_dir(root).env("CARGO_TARGET_DIR", root.join("target"));
    let output = command.stdout(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Returns the time of a clean build, in seconds.
fn timed(root: &Path) -> Result<f64, String> {
    let _ = fs::remove_dir_all(root.join("target"));
    let start = Instant::now();
    build(root, &["build", "--release", "--offline"])?;
    Ok(start.elapsed().as_secs_f64())
}
