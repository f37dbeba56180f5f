//! Compiles each case on its own.

use std::path::{Path, PathBuf};
use std::{fs, io};

#[test]
fn accepted() {
    trybuild::TestCases::new().pass("*/pass/*.rs");
}

#[test]
fn refused() {
    trybuild::TestCases::new().compile_fail("*/fail/*.rs");
}

/// The compiler lays out a message according to the length of the types in it, and the type of a closure or
/// async block contains the full path of its file. Such a message would be correct in one checkout only.
#[test]
fn messages_do_not_depend_on_the_checkout() {
    let mut seen = 0;
    for file in expected_messages(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap() {
        let text = fs::read_to_string(&file).unwrap();
        seen += 1;
        for kind in ["closure@", "block@", "body@", "coroutine@"] {
            assert!(!text.contains(kind), "{} names a `{{{kind}…}}`; use a function there", file.display());
        }
    }
    assert!(seen > 50, "only {seen} expected messages were found");
}

fn expected_messages(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(expected_messages(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "stderr") {
            found.push(path);
        }
    }
    Ok(found)
}
