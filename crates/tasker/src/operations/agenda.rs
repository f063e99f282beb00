//! The agenda against a list that is searched from end to end.

use std::time::{Duration, Instant};

#[cfg(fuzzing)]
use arbitrary::Arbitrary;

use super::pick;
use crate::clock::real_now;
use crate::queue::delay::{Agenda, Appointment};

/// What can be done to an agenda. Times are seconds from its beginning.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(fuzzing, derive(Arbitrary))]
pub enum Operation {
    Add { at: u8 },
    Remove { which: u8 },
    Rewrite { which: u8 },
    PopDue { now: u8 },
}

/// An agenda, and what it should hold in the order in which it was noted.
pub(super) struct Compared {
    start: Instant,
    agenda: Agenda<u64>,
    model: Vec<(Instant, Appointment, u64)>,
    given: Vec<Appointment>,
    made: u64,
}

impl Compared {
    pub(super) fn new() -> Self {
        let (model, given) = (Vec::new(), Vec::new());
        Self { start: real_now(), agenda: Agenda::new(), model, given, made: 0 }
    }

    pub(super) fn apply(&mut self, operation: Operation) {
        self.made += 1;
        let made = self.made;
        match operation {
            Operation::Add { at } => {
                let at = self.at(at);
                let appointment = self.agenda.add(at, made);
                assert!(!self.given.contains(&appointment), "an appointment is one's own");
                assert_eq!(appointment.at(), at);
                self.model.push((at, appointment, made));
                self.given.push(appointment);
            }
            Operation::Remove { which } => {
                if let Some(appointment) = pick(&self.given, which) {
                    let at = self.model.iter().position(|known| known.1 == appointment);
                    let gone = at.map(|at| self.model.remove(at).2);
                    assert_eq!(self.agenda.remove(appointment), gone);
                }
            }
            Operation::Rewrite { which } => {
                if let Some(appointment) = pick(&self.given, which) {
                    self.agenda.rewrite(appointment, made);
                    let known = self.model.iter_mut().find(|known| known.1 == appointment);
                    if let Some(known) = known {
                        known.2 = made;
                    }
                }
            }
            Operation::PopDue { now } => {
                let now = self.at(now);
                let first = self.first().filter(|at| self.model[*at].0 <= now);
                assert_eq!(first.is_some(), self.model.iter().any(|known| known.1.is_due(now)));
                let due = first.map(|at| self.model.remove(at).2);
                assert_eq!(self.agenda.pop_due(now), due);
            }
        }
        assert_eq!(self.agenda.next_at(), self.first().map(|at| self.model[at].0));
    }

    fn at(&self, seconds: u8) -> Instant {
        self.start + Duration::from_secs(seconds.into())
    }

    /// The earliest, and of those the one that was noted first.
    fn first(&self) -> Option<usize> {
        (0..self.model.len()).min_by_key(|at| self.model[*at].0)
    }
}
