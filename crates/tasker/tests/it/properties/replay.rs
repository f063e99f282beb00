//! Programs that are pasted from failures: a property that fails prints a test for this file.

use tasker::{Overflow, Priority};

use super::play;
use super::program::{Door, Ending, Finale, Inside, On, Program, Step, task};

/// A program may fail in one run of many, since its threads race each other.
const TIMES: usize = 100;

fn replay(program: &Program) {
    (0..TIMES).for_each(|_| play(program));
}

/// Every kind of step that there is.
#[rustfmt::skip] // it is as a failure prints it
fn specimen() -> Program {
    Program {
        on: On::Lending,
        workers: 2,
        burst: 1,
        pool: 1,
        capacity: Some((3, Overflow::Wait)),
        delayed_retries: true,
        validates: Some(true),
        failing_creates: 1,
        failing_destroys: 1,
        stuck: Some(true),
        callers: vec![
            vec![
                Step::Task(task(Door::Run, Ending::Well)),
                Step::Task(task(Door::Submit, Ending::SickOnce).lane(Priority::High)),
                Step::Task(task(Door::Callback, Ending::Own).start_within(1).once()),
                Step::Task(task(Door::TrySubmit, Ending::FailsWhenCancelled).cancel()),
                Step::Task(task(Door::Await, Ending::WellWhenCancelled).awaits(2).timeout()),
                Step::Pause,
                Step::Resize(1, 3),
                Step::Resume,
            ],
            vec![
                Step::Task(task(Door::RunNow, Ending::Panics)),
                Step::Task(task(Door::Detach, Ending::Well).inside(Inside::Submits)),
                Step::Task(task(Door::Dropped, Ending::Sick).inside(Inside::Waits)),
                Step::Task(task(Door::Submit, Ending::Sick).inside(Inside::Joins(2))),
                Step::Task(task(Door::Run, Ending::Well).inside(Inside::Runs(1))),
                Step::Task(task(Door::Submit, Ending::PanicsInDrop).inside(Inside::RunsNow)),
                Step::Task(task(Door::Submit, Ending::Well).inside(Inside::Stops)),
                Step::KillWithin,
                Step::Yield,
                Step::CancelAll,
                Step::Stop,
            ],
        ],
        finale: Finale::Drop,
    }
}

// So that what a failure prints can be pasted and is what failed.
#[test]
fn a_program_is_printed_as_the_code_that_makes_it() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (code, printed) = (words(include_str!("replay.rs")), words(&specimen().to_string()));
    assert!(code.windows(printed.len()).any(|part| part == printed), "{}", specimen());
}

#[test]
fn a_program_can_be_replayed() {
    replay(&specimen());
}

// Promise 16. In a pause `run_now` waits for a worker as every task does, so that inside a task it can be refused
// when the pause ends; the rule said that it never waits.
#[test]
fn an_urgent_task_inside_a_task_waits_in_a_pause() {
    replay(&Program {
        on: On::CurrentThread,
        workers: 1,
        burst: 0,
        pool: 2,
        capacity: Some((1, Overflow::Wait)),
        delayed_retries: false,
        validates: None,
        failing_creates: 1,
        failing_destroys: 2,
        stuck: Some(true),
        callers: vec![
            vec![
                Step::Task(task(Door::Run, Ending::Sick).lane(Priority::Low).once()),
                Step::Task(task(Door::Run, Ending::Well).lane(Priority::Low)),
                Step::Pause,
            ],
            vec![Step::Task(
                task(Door::Run, Ending::Well).lane(Priority::Low).inside(Inside::RunsNow),
            )],
        ],
        finale: Finale::Kill,
    });
}
