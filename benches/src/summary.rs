//! The figures from a run that the README shows.

use std::fmt::Write as _;

use crate::report::Report;

const BEGIN: &str = "<!-- written by `cargo xtask bench` -->\n";
const END: &str = "<!-- so far -->";

/// Returns the README with its figures replaced by those of this report.
///
/// # Errors
/// Returns an error if the place for them or a figure is missing.
pub fn written_into(readme: &str, report: &Report) -> Result<String, String> {
    let no_place = || format!("README.md has no place for figures, between {BEGIN:?} and {END:?}");
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(no_place)?;
    let (_, after) = rest.split_once(END).ok_or_else(no_place)?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", table(report)?))
}

fn table(report: &Report) -> Result<String, String> {
    let ratio = |work: &str, peer: &str| report.median(work, peer).map(short);
    let keyed = |work: &str| ratio(&format!("memory, `Gcra`, 100 000 {work}"), "governor keyed");
    let most_keys = |column| report.cell("By the number of keys", "10000000", column);
    let instructions = |work: &str| {
        let cell = report.cell("Instructions", work, 1)?;
        cell.parse::<f64>().map_err(|error| format!("{cell:?} instructions of {work}: {error}"))
    };
    let hit = |kind: &str| {
        let side = |peer: &str| instructions(&format!("a hit on {kind}, {peer}"));
        Ok::<_, String>(side("ours")? / side("governor keyed")?)
    };
    let (strings, addresses) = (hit("a `String`")?, hit("an `IpAddr`")?);
    let bare = instructions("a bare axum call")?;
    let added = |ours: &str, theirs: &str| {
        Ok::<_, String>((instructions(ours)? - bare) / (instructions(theirs)? - bare))
    };

    let mut text = String::from("| work | ours / theirs | instructions |\n|---|---|---|\n");
    let mut line = |work: &str, ratio: String, instructions: String| {
        let _ = writeln!(
            text,
            "| {work} | {ratio} | {instructions}{}|",
            if instructions.is_empty() { "" } else { " " }
        );
    };
    let two = |one: String, other: String| format!("{one} · {other}");
    line(
        "a hit in memory, 100 000 strings, 1 thread · 2 threads",
        two(keyed("`String`, 1 thread")?, keyed("`String`, 2 threads, distinct keys")?),
        exact(strings),
    );
    line(
        "a hit in memory on one key, strings · addresses",
        two(keyed("`String`, 1 thread, one key")?, keyed("`IpAddr`, 1 thread, one key")?),
        two(exact(strings), exact(addresses)),
    );
    line(
        "a hit in memory among ten million keys, 1 thread · 2 threads",
        two(most_keys(3)?.into(), most_keys(6)?.into()),
        String::new(),
    );
    let governor = "tower_governor";
    line(
        "one attribute, headers off, added to an axum call",
        ratio("attribute, headers off: added to a call", governor)?,
        exact(added("with one attribute", "with tower_governor")?),
    );
    line(
        "two attributes, against one layer of tower_governor",
        ratio("two stacked attributes, headers off, to one layer", governor)?,
        exact(added("with two", "with tower_governor")?),
    );
    line(
        "one attribute with `X-RateLimit-*`, likewise",
        ratio("attribute, `X-RateLimit-*`: added to a call", governor)?,
        exact(added("with one attribute and `X-RateLimit-*`", "with tower_governor `use_headers`")?),
    );
    line(
        "one attribute with both families of headers, against axum-governor",
        ratio("attribute, both families of headers", "axum-governor")?,
        exact(added("with both families of headers", "with axum-governor, both families of headers")?),
    );
    let script = "Redis, 64 in flight: throughput against a bare EVALSHA of the same script";
    line("Redis, throughput against the bare script call", ratio(script, "")?, String::new());
    let attacked = "Redis, throughput for an attacked client, remembered denials against none";
    let times = format!("{:.0} times the throughput", report.median(attacked, "")?);
    line("an attacked client, refusals remembered, against asking Redis", times, String::new());
    Ok(text)
}

fn short(ratio: f64) -> String {
    format!("{ratio:.1}")
}

fn exact(ratio: f64) -> String {
    format!("{ratio:.2}")
}
