//! `cargo xtask bench`: one table of ratios, ours over theirs.

#![allow(missing_docs, unreachable_pub, clippy::expect_used)]

mod measure;
mod memory;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("profile") {
        return memory::profile();
    }
    if std::env::args().nth(1).as_deref() == Some("contended") {
        return memory::contended();
    }
    if std::env::args().nth(1).as_deref() == Some("hot") {
        return memory::hot();
    }
    println!("| work | against | ours | theirs | ratio (lowest–highest) | target | |");
    println!("|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    memory::run(&mut rows);
}
