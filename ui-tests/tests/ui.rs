//! Compiles each case on its own.

#[test]
fn accepted() {
    trybuild::TestCases::new().pass("*/pass/*.rs");
}

#[test]
fn refused() {
    trybuild::TestCases::new().compile_fail("*/fail/*.rs");
}
