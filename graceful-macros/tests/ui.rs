//! D10: what the attributes accept, and what they say where something is wrong.
//!
//! `TRYBUILD=overwrite cargo test -p graceful-macros --test ui` writes the messages down anew.

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
