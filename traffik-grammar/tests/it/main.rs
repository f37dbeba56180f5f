//! Tests of the grammars as a whole: a table of rates, and properties over random inputs.

#![allow(clippy::unwrap_used)]

mod properties;
mod table;
