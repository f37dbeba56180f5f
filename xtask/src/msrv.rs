//! Tests that the declared `rust-version` is not lower than that of any dependency.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::run::root;

/// Parses `1.88` or `1.88.0` as `(1, 88)`.
fn version(text: &str) -> (u64, u64) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

#[test]
fn no_dependency_asks_for_a_later_compiler() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--all-features", "--locked"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = |id: &str| packages.iter().find(|package| text(package, "id") == id).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();

    let ours = packages.iter().find(|package| text(package, "name") == "traffik").unwrap();
    let declared = version(text(ours, "rust_version"));
    let (mut seen, mut left) = (BTreeSet::new(), vec![text(ours, "id")]);
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = nodes.iter().find(|node| text(node, "id") == id).unwrap();
        let used = |dependency: &&Value| {
            dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev")
        };
        left.extend(
            node["deps"].as_array().unwrap().iter().filter(used).map(|dependency| text(dependency, "pkg")),
        );
    }
    assert!(seen.len() > 50, "{} packages", seen.len());
    let later: Vec<_> = seen
        .into_iter()
        .filter(|id| package(id)["rust_version"].as_str().is_some_and(|needed| version(needed) > declared))
        .collect();
    assert!(later.is_empty(), "rust-version is {declared:?}, but these need a later one: {later:?}");
}
