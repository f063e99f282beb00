//! DECISION: what is due at a given moment, and when the next thing will be.

use std::collections::BTreeMap;
use std::time::Instant;

/// Finds an entry again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Appointment(Instant, u64);

impl Appointment {
    pub(crate) fn at(self) -> Instant {
        self.0
    }

    pub(crate) fn is_due(self, now: Instant) -> bool {
        self.0 <= now
    }
}

/// Things that are to happen at their times, in order; one that is no longer wanted is taken out.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    entries: BTreeMap<Appointment, T>,
    made: u64,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::new(), made: 0 }
    }

    /// Notes `what` for `at`.
    pub(crate) fn add(&mut self, at: Instant, what: T) -> Appointment {
        self.made += 1;
        let appointment = Appointment(at, self.made);
        self.entries.insert(appointment, what);
        appointment
    }

    pub(crate) fn remove(&mut self, appointment: Appointment) -> Option<T> {
        self.entries.remove(&appointment)
    }

    /// Changes what is to happen, not when.
    pub(crate) fn rewrite(&mut self, appointment: Appointment, what: T) {
        if let Some(known) = self.entries.get_mut(&appointment) {
            *known = what;
        }
    }

    /// When the first thing is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|(appointment, _)| appointment.0)
    }

    /// Takes out the first thing that is due by `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let first = self.entries.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::real_now;
    use std::time::Duration;

    #[test]
    fn things_fall_due_in_the_order_of_their_times_and_then_of_their_making() {
        let start = real_now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut agenda = Agenda::new();
        agenda.add(at(20), "late");
        agenda.add(at(10), "first");
        agenda.add(at(10), "second");
        let gone = agenda.add(at(5), "unwanted");
        assert_eq!(agenda.remove(gone), Some("unwanted"));
        assert_eq!(agenda.remove(gone), None);
        assert_eq!(agenda.next_at(), Some(at(10)));
        assert_eq!(agenda.pop_due(at(9)), None);
        assert_eq!(agenda.pop_due(at(10)), Some("first"));
        assert_eq!(agenda.pop_due(at(10)), Some("second"));
        assert_eq!(agenda.pop_due(at(10)), None);
        assert_eq!(agenda.pop_due(at(99)), Some("late"));
        assert_eq!(agenda.next_at(), None);
    }
}
