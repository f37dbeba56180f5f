//! The languages as a whole: the table of verdicts, and properties over random texts.

#![allow(clippy::unwrap_used)]

mod properties;
mod table;
