//! D10: what the attributes accept, and what they say where something is wrong.
//!
//! `TRYBUILD=overwrite cargo test --test ui` writes the messages down anew.

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*.rs");
}
