//! What happens because time has passed, and what a handle's cancel does.

use std::time::Instant;

use super::job::{Place, Ticket};
use super::lanes::{Next, Spot};
use super::{Cancelling, Effects, Queue, State, Who};
use crate::cancel::Why;
use crate::outcome::TaskError;
use crate::sync::Waiter;

/// What can fall due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A delayed task goes to its lane.
    Retry(u32),
    /// What stands there has waited longer than its `start_within`; `true` for a job.
    Expire(Place, bool),
    /// What runs on this seat has used up its timeout.
    Timeout(usize),
    /// The same for a guest.
    GuestTimeout(u32),
    /// The worker of this seat tries again to get a resource.
    Recover(usize),
    /// The steward tries again to refill the pool.
    Refill,
    /// A look at the load.
    Tick,
    /// A look at the age of this seat's resource.
    Age(usize),
    /// A look for tasks that are stuck.
    Stuck,
    /// A look through the pool.
    Reserve,
    /// The limit of a stop that was begun from inside a task.
    Kill,
    /// A placeholder while its owner finds its place.
    Nothing,
}

impl<R, E> Queue<R, E> {
    /// The timekeeper introduces itself.
    pub(crate) fn keep_time(&self, waiter: Waiter) {
        self.lock().timekeeper = Some(waiter);
    }

    /// Does what is due by `now`. When the next thing will be due, or that there is nothing more to
    /// wait for, ever.
    pub(crate) fn due(&self, now: Instant, fx: &mut Effects<R, E>) -> Timetable {
        let mut state = self.lock();
        let state = &mut *state;
        while let Some(due) = state.agenda.pop_due(now) {
            match due {
                Due::Kill => {
                    let _ = self.kill(state, now, fx); // refused where it is over already
                }
                due => state.happens(due, now, fx),
            }
        }
        match (state.done, state.agenda.next_at()) {
            (Some(_), _) => Timetable::Over,
            (None, Some(at)) => Timetable::At(at),
            (None, None) => Timetable::Open,
        }
    }

    /// Cancels a task: a waiting one ends here, a running one is told.
    pub(crate) fn cancel(&self, ticket: &Ticket, now: Instant, fx: &mut Effects<R, E>) {
        let mut state = self.lock();
        let state = &mut *state;
        match ticket.place() {
            Place::Running(seat) => state.cancel_seat(seat, Why::Cancelled, false, fx),
            place => state.withdraw(place, Next::Job, TaskError::Cancelled, now, fx),
        }
    }
}

/// When the timekeeper has to look again.
pub(crate) enum Timetable {
    At(Instant),
    /// Nothing is due; it will be woken.
    Open,
    /// The manager is gone.
    Over,
}

impl<R, E> State<R, E> {
    fn happens(&mut self, due: Due, now: Instant, fx: &mut Effects<R, E>) {
        match due {
            Due::Retry(index) => {
                if let Some((who, _)) = self.delayed.remove(index) {
                    self.queue_retry(who, std::time::Duration::ZERO, now, fx);
                }
            }
            Due::Expire(Place::Lane(spot), is_job) => {
                let next = Next::at(spot, is_job);
                let who = self.unqueue(next, now);
                self.end(who, TaskError::Expired, fx);
                self.floor(now, fx);
            }
            Due::Expire(Place::Outside(spot), is_job) => {
                let next = Next::at(spot, is_job);
                self.turn_away(next, TaskError::Expired, fx);
            }
            Due::Expire(..) | Due::Nothing | Due::Kill => {}
            Due::Timeout(seat) => {
                self.seats[seat].running.timeout = None;
                self.cancel_seat(seat, Why::TimedOut, true, fx);
            }
            Due::GuestTimeout(key) => {
                if let Some(guest) = self.guests.get_mut(key) {
                    guest.timeout = None;
                }
                self.cancel_guest(key, Why::TimedOut, fx);
            }
            Due::Recover(seat) => {
                self.seats[seat].retry = None;
                self.regroup();
                fx.wake(self.seats[seat].waiter.as_ref());
            }
            Due::Refill => {
                self.steward_retry = None;
                fx.wake(self.steward.as_ref());
            }
            Due::Tick => {
                self.tick = None;
                self.hastened = false;
                fx.look = true;
            }
            Due::Age(seat) => self.age(seat, now, fx),
            Due::Stuck => self.tell_stuck(now, fx),
            Due::Reserve => {
                self.reserve_watch = None;
                fx.wake(self.steward.as_ref());
            }
        }
    }

    /// Ends something where it waits; what runs, has ended or is on its way to its end is left alone.
    pub(crate) fn withdraw(
        &mut self,
        place: Place,
        next: impl FnOnce(Spot) -> Next,
        error: TaskError<E>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        match place {
            Place::Lane(spot) => {
                let who = self.unqueue(next(spot), now);
                self.end(who, error, fx);
                self.floor(now, fx);
            }
            Place::Delayed(index) => {
                if let Some((who, appointment)) = self.delayed.remove(index) {
                    self.agenda.remove(appointment);
                    self.end(who, error, fx);
                }
            }
            Place::Outside(spot) => self.turn_away(next(spot), error, fx),
            Place::Running(_) | Place::Nowhere => {}
        }
    }

    /// Tells what runs on a seat to stop. The first reason stays. With `abort` a future is dropped, too.
    pub(crate) fn cancel_seat(
        &mut self,
        seat: usize,
        why: Why,
        abort: bool,
        fx: &mut Effects<R, E>,
    ) {
        let abort = abort && self.rules.slots;
        let seat = &mut self.seats[seat];
        if seat.running.active && (seat.running.why.is_none() || abort) {
            seat.running.why.get_or_insert(why);
            fx.cancel.push(Cancelling { token: seat.token.clone(), why, abort });
        }
    }

    pub(crate) fn cancel_guest(&mut self, key: u32, why: Why, fx: &mut Effects<R, E>) {
        let abort = self.rules.slots; // all that cancels a guest does
        if let Some(running) = self.guests.get_mut(key)
            && running.active
            && (running.why.is_none() || abort)
        {
            running.why.get_or_insert(why);
            let token = running.token.clone();
            fx.cancel.extend(token.map(|token| Cancelling { token, why, abort }));
        }
    }
}

impl<R, E> State<R, E> {
    /// Takes out everything that waits in the lanes and among the delayed.
    pub(crate) fn take_all_waiting(&mut self, now: Instant) -> Vec<Who<R, E>> {
        let mut all = Vec::new();
        while let Some(next) = self.lanes.next() {
            all.push(self.unqueue(next, now));
        }
        while let Some((who, appointment)) = self.delayed.pop_front() {
            self.agenda.remove(appointment);
            all.push(who);
        }
        all
    }
}
