//! Checks every row of the table of rates.

use traffik_grammar::rate::{RateErrorKind, RateSpec, Shape, parse, shape};

/// The only row with valid syntax whose period is too long for any clock.
const OUT_OF_BOUNDS: &str = "5/99999999999999999999d";

struct Row {
    text: String,
    /// `None` if the text must be rejected.
    shape: Option<Shape>,
}

fn rows() -> Vec<Row> {
    include_str!("../data/rates.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [text, verdict, limit, period] = columns[..] else {
                panic!("four columns expected: {line}");
            };
            let shape = match (verdict, limit) {
                ("reject", _) => None,
                ("accept", "unlimited") => Some(Shape::Unlimited),
                ("accept", _) => Some(Shape::Limited {
                    limit: limit.parse().unwrap(),
                    period_micros: 1_000 * period.parse::<u128>().unwrap(),
                }),
                _ => panic!("unknown verdict: {line}"),
            };
            Row { text: json_string(text), shape }
        })
        .collect()
}

/// Decodes a JSON string with characters of the basic multilingual plane only, which is all that the table contains.
fn json_string(quoted: &str) -> String {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut rest = inner.unwrap_or_else(|| panic!("a JSON string expected: {quoted}")).chars();
    let mut text = String::new();
    while let Some(c) = rest.next() {
        text.push(match c {
            '\\' => match rest.next() {
                Some('u') => {
                    let digits: String = rest.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some(literal @ ('"' | '\\' | '/')) => literal,
                other => panic!("unknown escape {other:?} in {quoted}"),
            },
            plain => plain,
        });
    }
    text
}

#[test]
fn the_syntax_agrees_with_every_row() {
    let rows = rows();
    assert!(rows.len() > 180, "the table is complete");
    for row in rows {
        assert_eq!(shape(&row.text).ok(), row.shape, "{:?}", row.text);
    }
}

#[test]
fn rates_agree_with_every_row_within_the_bounds() {
    for row in rows() {
        if row.text == OUT_OF_BOUNDS {
            assert_eq!(parse(&row.text).unwrap_err().kind(), RateErrorKind::OutOfBounds);
            continue;
        }
        let expected = row.shape.map(|shape| match shape {
            Shape::Unlimited => RateSpec::Unlimited,
            Shape::Limited { limit, period_micros } => {
                RateSpec::Limited { limit, period_micros: u64::try_from(period_micros).unwrap() }
            }
        });
        assert_eq!(parse(&row.text).ok(), expected, "{:?}", row.text);
    }
}

#[test]
fn the_table_holds_the_row_out_of_bounds() {
    assert_eq!(rows().iter().filter(|row| row.text == OUT_OF_BOUNDS).count(), 1);
}
