//! What must not compile does not, and the compiler's message says why.

// Promises 5 and 18 by type: a resource stays in its task, a thread-bound one in its thread, a borrow in its call.
#[test]
fn what_the_types_forbid_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*_is_refused_*.rs");
    cases.compile_fail("tests/compile_fail/*_cannot_*.rs");
    cases.compile_fail("tests/compile_fail/*_must_*.rs");
    cases.pass("tests/compile_fail/*_is_accepted_*.rs");
}
