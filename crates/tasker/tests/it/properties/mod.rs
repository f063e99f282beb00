//! Promises 1 to 8, 10 to 13, 16 and 17: random programs on both managers; whatever they do, the sums are right.
//!
//! A program that fails is printed as code; `replay.rs` says how to run it again.

pub(crate) mod ledger; // what became of each task, and what has to hold of it
pub(crate) mod program; // what callers do, how it is drawn, and how it is written down
mod replay; // programs that are pasted from failures
mod threads; // plays programs on a `TaskManager`

use proptest::prelude::*;

use self::program::{On, Program, any_program};
use crate::aio;
use crate::support::{LIMIT, run_named};

/// Plays a program and checks what came of it; fails if it hangs.
fn play(program: &Program) {
    let program = program.clone();
    run_named("a program", LIMIT, move || match program.on {
        On::Lending | On::NotLending | On::Local => threads::play(&program),
        On::MultiThread | On::CurrentThread => aio::random::play(&program),
    });
}

/// `PROPTEST_CASES` asks for more of them, or fewer.
fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: std::env::var_os("PROPTEST_CASES").map_or(cases, |_| default.cases),
        max_shrink_iters: 200,
        max_shrink_time: 120_000, // milliseconds: a program that hangs takes twenty seconds each time
        failure_persistence: None, // a failure prints its program
        ..default
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn whatever_a_program_does_on_threads_is_accounted_for(program in any_program(&On::THREADS)) {
        play(&program);
    }

    #[test]
    fn whatever_an_async_program_does_is_accounted_for(program in any_program(&On::RUNTIMES)) {
        play(&program);
    }
}
