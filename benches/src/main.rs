//! Measures what the library adds to the work.
fn main() {}
