//! Tasks that run for too long: they are told of, and another worker takes the place of theirs.

use std::time::Instant;

use super::due::Due;
use super::life::Parting;
use super::{Effects, News, Running, State};
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
                return;
            }
            if let Some(task) = running.stuck(limit, now) {
                running.told = true;
                told.push(task);
                return;
            }
            let started = running.started.filter(|_| running.active);
            next = next.into_iter().chain(started).min();
        };
        for seat in &mut self.seats {
            look(&mut seat.running);
        }
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
            let sequence = self.next_sequence();
            fx.news.push(News::Stuck { sequence, task: Box::new(task) });
        }
        if self.rules.replace_stuck && self.phase == Phase::Running {
            self.replace_stuck(now, fx);
        }
    }

    /// Sets the workers aside whose tasks are stuck, but those that merely wait for tasks of this manager: promise 16
    /// sees to them, within the cap. They are looked at again.
    fn replace_stuck(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        let stuck =
            |seat: &super::Seat<R, E>| seat.running.active && seat.running.told && !seat.set_aside;
        let seats: Vec<usize> =
            (0..self.seats.len()).filter(|seat| stuck(&self.seats[*seat])).collect();
        for seat in seats {
            if self.seats[seat].blocked > 0 {
                self.watch_stuck(now, fx);
                continue;
            }
            self.seats[seat].set_aside = true;
            self.aside.push(seat);
            self.roster.set_max(self.cap());
            self.part(seat, Parting::Leave(DestroyReason::Stuck), fx);
        }
        self.watch(now, fx);
        self.relieve(true, now, fx); // who waited for one of them to return waits no longer for that
    }

    /// A worker that was set aside has left: there is room for one less.
    pub(crate) fn bring_back(&mut self, seat: usize) {
        if std::mem::take(&mut self.seats[seat].set_aside) {
            self.aside.retain(|aside| *aside != seat);
            self.roster.set_max(self.cap());
        }
    }

    /// Workers that are counted as leaving and take nobody's place, since their task is stuck. One that has come
    /// back to replace its resource is counted as without one, until it finds out that it goes.
    pub(crate) fn stuck_workers(&self) -> usize {
        let goes = |seat: &&usize| {
            let leaving = self.roster.condition(**seat) == Some(Condition::Leaving);
            leaving || self.seats[**seat].parting.is_some()
        };
        self.aside.iter().filter(goes).count()
    }

    /// How many workers there may be at this moment.
    pub(crate) fn cap(&self) -> usize {
        self.rules.max_worker_count + self.aside.len()
    }
}
