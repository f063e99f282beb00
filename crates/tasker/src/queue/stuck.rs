//! Tasks that run for too long: they are told of, and another worker takes the place of theirs.

use std::time::Instant;

use super::due::Due;
use super::life::Parting;
use super::{Effects, Running, State};
use crate::event::DestroyReason;
use crate::explain::StuckTask;
use crate::pool::roster::Condition;
use crate::shutdown::Phase;

impl Running {
    /// What runs, if it has been running since before `limit`.
    fn stuck(&self, limit: std::time::Duration, now: Instant) -> Option<StuckTask> {
        let running_for = now.saturating_duration_since(self.started.filter(|_| self.active)?);
        let location = self.location.filter(|_| running_for >= limit)?;
        let name = self.name.as_ref().map(|name| name.as_str().to_owned());
        Some(StuckTask { id: self.id, name, running_for, location })
    }
}

impl<R, E> State<R, E> {
    /// A task has started: somebody looks whether it is stuck, when it could be.
    #[inline]
    pub(crate) fn watch_stuck(&mut self, started: Instant, fx: &mut Effects<R, E>) {
        if let Some(limit) = self.rules.stuck_after
            && self.stuck_watch.is_none()
            && let Some(at) = started.checked_add(limit)
        {
            self.stuck_watch = Some(self.appoint(at, Due::Stuck, fx));
        }
    }

    /// Every task that is stuck, the ones of workers first.
    pub(crate) fn stuck(&self, now: Instant) -> Vec<StuckTask> {
        let Some(limit) = self.rules.stuck_after else { return Vec::new() };
        let seats = self.seats.iter().map(|seat| &seat.running);
        let guests = self.guests.iter().map(|(_, _, running)| running);
        seats.chain(guests).filter_map(|running| running.stuck(limit, now)).collect()
    }

    /// Tells of what has become stuck, each once, and looks again when the next could be.
    pub(crate) fn tell_stuck(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        self.stuck_watch = None;
        let Some(limit) = self.rules.stuck_after else { return };
        let mut told = Vec::new();
        let mut next: Option<Instant> = None;
        let mut look = |running: &mut Running| {
            if running.told {
                return false;
            }
            if let Some(task) = running.stuck(limit, now) {
                running.told = true;
                told.push(task);
                return true;
            }
            let started = running.started.filter(|_| running.active);
            next = next.into_iter().chain(started).min();
            false
        };
        let seats: Vec<usize> =
            (0..self.seats.len()).filter(|seat| look(&mut self.seats[*seat].running)).collect();
        let guests: Vec<u32> = self.guests.iter().map(|(key, ..)| key).collect();
        for key in guests {
            if let Some(running) = self.guests.get_mut(key) {
                look(running);
            }
        }
        if let Some(started) = next {
            self.watch_stuck(started, fx);
        }
        for task in told {
            fx.stuck.push((self.next_sequence(), task));
        }
        if self.rules.replace_stuck && self.phase == Phase::Running {
            for seat in seats {
                self.set_aside(seat, fx);
            }
            self.watch(now, fx);
        }
    }

    /// Another worker may take the place of one whose task is stuck. It goes when that returns.
    fn set_aside(&mut self, seat: usize, fx: &mut Effects<R, E>) {
        if !std::mem::replace(&mut self.seats[seat].set_aside, true) {
            self.set_aside += 1;
            self.roster.set_max(self.cap());
            self.part(seat, Parting::Leave(DestroyReason::Stuck), fx);
        }
    }

    /// A worker that was set aside has left: there is room for one less.
    pub(crate) fn bring_back(&mut self, seat: usize) {
        if std::mem::take(&mut self.seats[seat].set_aside) {
            self.set_aside -= 1;
            self.roster.set_max(self.cap());
        }
    }

    /// Workers that are counted as leaving and take nobody's place, since their task is stuck. One that has come
    /// back to replace its resource is counted as without one, until it finds out that it goes.
    pub(crate) fn stuck_workers(&self) -> usize {
        if self.set_aside == 0 {
            return 0;
        }
        let unequipped = [Some(Condition::Creating), Some(Condition::Recovering)];
        let aside = self.seats.iter().enumerate().filter(|(_, seat)| seat.set_aside);
        aside.filter(|(seat, _)| !unequipped.contains(&self.roster.condition(*seat))).count()
    }

    /// How many workers there may be at this moment.
    pub(crate) fn cap(&self) -> usize {
        self.rules.max_worker_count + self.set_aside
    }
}
