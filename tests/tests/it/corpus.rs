//! Runs the fuzz targets over their corpus, without a fuzzer.

use std::path::Path;

use traffik_tests::fuzzed;

fn each(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut run = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        body(&data);
        // What a fuzzer would try first: the same input, truncated or with one bit flipped.
        for place in 0..data.len().min(64) {
            body(&data[..place]);
            let mut changed = data.clone();
            changed[place] ^= 1 << (place % 8);
            body(&changed);
        }
        run += 1;
    }
    assert!(run > 9, "{target} has a corpus of {run}");
}

#[test]
fn rates() {
    each("rate", fuzzed::rate);
}

#[test]
fn path_patterns() {
    each("path", fuzzed::path);
}

#[test]
fn forwarded_headers() {
    each("forwarded", fuzzed::forwarded);
}

#[test]
fn stored_state() {
    each("state", fuzzed::state);
}
