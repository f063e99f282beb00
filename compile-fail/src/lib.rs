//! Holds the tests of what must not compile; there is nothing to call here.
