//! Arbitrary operations on lanes, agenda and roster, each compared with a plain model after every step.
//!
//! A fuzz target (`fuzz/`) and a test below run the same code: it is compiled for these two and is not part
//! of the library. The models are slow on purpose; what they say is plain to see.

mod agenda;
mod lanes;
mod roster;

#[cfg(fuzzing)]
use arbitrary::Arbitrary;

/// One step.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(Arbitrary))]
pub enum Operation {
    Lanes(lanes::Operation),
    Agenda(agenda::Operation),
    Roster(roster::Operation),
}

/// Does `operations` one after the other.
///
/// # Panics
///
/// When something and its model differ.
pub fn run(operations: &[Operation]) {
    let mut lanes = lanes::Compared::new();
    let mut agenda = agenda::Compared::new();
    let mut roster = roster::Compared::new();
    for operation in operations {
        match *operation {
            Operation::Lanes(operation) => lanes.apply(operation),
            Operation::Agenda(operation) => agenda.apply(operation),
            Operation::Roster(operation) => roster.apply(operation),
        }
        // Whether a job may go depends on how many are idle: the one question about both.
        lanes.compare_jobs_within(roster.idle());
    }
}

/// The one of `all` that `number` means.
fn pick<T: Copy>(all: &[T], number: u8) -> Option<T> {
    all.get(usize::from(number).checked_rem(all.len())?).copied()
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use proptest::prelude::*;

    use super::{Operation, agenda, lanes, roster, run};

    fn operation() -> impl Strategy<Value = Operation> {
        let level = || 0..4_u8;
        prop_oneof![
            level().prop_map(|level| Operation::Lanes(lanes::Operation::PushJob { level })),
            level().prop_map(|level| Operation::Lanes(lanes::Operation::PushClaim { level })),
            any::<u8>().prop_map(|which| Operation::Lanes(lanes::Operation::Remove { which })),
            Just(Operation::Lanes(lanes::Operation::TakeNext)),
            level().prop_map(|level| Operation::Lanes(lanes::Operation::Evict { level })),
            any::<u8>().prop_map(|at| Operation::Agenda(agenda::Operation::Add { at })),
            any::<u8>().prop_map(|which| Operation::Agenda(agenda::Operation::Remove { which })),
            any::<u8>().prop_map(|which| Operation::Agenda(agenda::Operation::Rewrite { which })),
            any::<u8>().prop_map(|now| Operation::Agenda(agenda::Operation::PopDue { now })),
            Just(Operation::Roster(roster::Operation::Hire)),
            (0..6_u8).prop_map(|max| Operation::Roster(roster::Operation::SetMax { max })),
            any::<(u8, u8)>()
                .prop_map(|(which, to)| Operation::Roster(roster::Operation::Set { which, to })),
            any::<u8>().prop_map(|which| Operation::Roster(roster::Operation::Rest { which })),
            any::<u8>()
                .prop_map(|which| Operation::Roster(roster::Operation::UsedMeanwhile { which })),
            any::<u8>().prop_map(|to| Operation::Roster(roster::Operation::TakeIdle { to })),
            any::<(u8, u8)>()
                .prop_map(|(which, to)| Operation::Roster(roster::Operation::Rouse { which, to })),
            Just(Operation::Roster(roster::Operation::DismissColdest)),
            any::<u8>().prop_map(|which| Operation::Roster(roster::Operation::Vacate { which })),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None, // what is found becomes a test with a name
            ..ProptestConfig::default()
        })]

        // Promises 2 and 4 rest on these three.
        #[test]
        fn lanes_agenda_and_roster_do_what_their_plain_models_do(
            operations in proptest::collection::vec(operation(), 0..100)
        ) {
            run(&operations);
        }
    }
}
