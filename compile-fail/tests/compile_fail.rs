//! What must not compile does not, and the compiler's message says why.

// A program whose name fits none of the patterns below would be left out without a word.
#[test]
fn every_program_is_tested() {
    let patterns = ["_is_refused_", "_cannot_", "_must_", "_is_accepted_"];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let fitting = patterns.iter().filter(|pattern| name.contains(**pattern)).count();
        assert_eq!(fitting, 1, "{name} fits {fitting} of {patterns:?}");
    }
}

// Promises 5 and 18 by type: a resource stays in its task, a thread-bound one in its thread, a borrow in its call.
#[test]
fn what_the_types_forbid_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*_is_refused_*.rs");
    cases.compile_fail("tests/compile_fail/*_cannot_*.rs");
    cases.compile_fail("tests/compile_fail/*_must_*.rs");
    cases.pass("tests/compile_fail/*_is_accepted_*.rs");
}
