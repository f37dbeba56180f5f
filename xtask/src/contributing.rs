//! Tests that the files named in `CONTRIBUTING.md` exist.

use std::fs;

use crate::run::root;

/// Returns the paths in backticks, except those with `<name>`, which stands for a file to be added.
fn paths(markdown: &str) -> impl Iterator<Item = &str> {
    let quoted = markdown.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains('/') && !text.contains([' ', '<', ':']))
}

#[test]
fn every_file_that_is_named_exists() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let named: Vec<_> = paths(&text).collect();
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<_> = named.into_iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "CONTRIBUTING.md names what is not there: {missing:?}");
}

#[test]
fn files_to_come_go_where_others_are() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let to_come: Vec<_> =
        text.split('`').skip(1).step_by(2).filter(|text| text.contains("/<name>")).collect();
    assert!(to_come.len() >= 4, "{to_come:?}");
    for path in to_come {
        let (folder, file) = path.split_once("/<name>").unwrap();
        let mut files = fs::read_dir(root().join(folder)).unwrap();
        let ending =
            |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path().to_string_lossy().ends_with(file);
        assert!(files.any(ending), "{path}");
    }
}
