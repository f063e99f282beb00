//! Stop and kill: what they refuse, whom they wake, and who reports that everything is over.

use std::time::{Duration, Instant};

use super::due::Due;
#[cfg(any(feature = "tokio", all(test, loom)))]
use super::job::Place;
#[cfg(any(feature = "tokio", all(test, loom)))]
use super::lanes::Next;
use super::seat::Order;
use super::{Effects, News, Queue, State, Who};
use crate::cancel::Why;
use crate::clock::real_now;
use crate::error::ShutdownError;
use crate::outcome::{Outcome, TaskError};
use crate::shutdown::{Phase, ShutdownReport, may_kill, may_stop};
use crate::worker::settle::{Case, Gone};

impl<R, E> Queue<R, E> {
    /// Begins a graceful stop: refuses what is new, lets in nobody who waits for room, and lets every
    /// retry that waits for its time run at once.
    pub(crate) fn begin_stop(
        &self,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Result<(), ShutdownError> {
        let mut state = self.lock();
        let state = &mut *state;
        may_stop(state.phase)?;
        state.enter(Phase::Stopping, now, fx);
        while let Some((index, _)) = state.delayed.front() {
            state.undelay(index, now, fx);
        }
        state.floor(now, fx); // what a pause held back
        // In a pause nobody was hired for those who left.
        if state.roster.staying() == 0
            && !state.lanes.is_empty()
            && let Some((seat, number)) = state.hire()
        {
            fx.news.push(News::Hired { seat, number });
        }
        state.wake_unequipped(fx);
        state.dismiss_if_drained(fx);
        self.check_done(state, now, fx);
        state.relieve(true, now, fx); // in a pause nobody was
        Ok(())
    }

    /// Begins a kill: what waits ends, what runs is told, nothing new starts.
    pub(crate) fn begin_kill(
        &self,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Result<(), ShutdownError> {
        self.kill(&mut self.lock(), now, fx)
    }

    /// The same because the runtime is gone: submitted tasks that wait for room end as those that had it.
    #[cfg(any(feature = "tokio", all(test, loom)))]
    pub(crate) fn strand(&self, now: Instant, fx: &mut Effects<R, E>) {
        let mut state = self.lock();
        let state = &mut *state;
        let outside: Vec<Place> =
            state.outside.iter_jobs().map(|entry| entry.what.ticket().place()).collect();
        for place in outside {
            if let Place::Outside(spot) = place {
                state.turn_away(Next::Job(spot), TaskError::Killed, fx);
            }
        }
        let _ = self.kill(state, now, fx); // refused where it is over or killed already
    }

    /// A kill at a later time, if it is still allowed then.
    pub(crate) fn kill_later(&self, at: Option<Instant>, fx: &mut Effects<R, E>) {
        if let Some(at) = at {
            self.lock().appoint(at, Due::Kill, fx);
        }
    }

    pub(super) fn kill(
        &self,
        state: &mut State<R, E>,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Result<(), ShutdownError> {
        may_kill(state.phase)?;
        state.enter(Phase::Killed, now, fx);
        for who in state.take_all_waiting(now) {
            state.end(who, TaskError::Killed, fx);
        }
        if state.rules.slots {
            state.revoke_grants(now, fx);
            state.revoke_runs(now, fx);
        }
        for seat in 0..state.seats.len() {
            state.cancel_seat(seat, Why::Cancelled, true, fx);
        }
        let guests: Vec<u32> = state.guests.iter().map(|(key, ..)| key).collect();
        for guest in guests {
            state.cancel_guest(guest, Why::Cancelled, fx);
        }
        state.wake_unequipped(fx);
        state.dismiss_if_drained(fx);
        self.check_done(state, now, fx);
        Ok(())
    }

    /// Blocks until everything is over, for at most `limit`; whether it is.
    pub(crate) fn await_done(&self, limit: Option<Duration>) -> bool {
        let end = limit.and_then(|limit| real_now().checked_add(limit));
        let mut state = self.state.lock(); // the rack may stay open: `done` is set under the lock
        while state.done.is_none() {
            state = match end {
                None => self.finished.wait(state),
                Some(end) => {
                    let left = end.saturating_duration_since(real_now());
                    if left.is_zero() {
                        return false;
                    }
                    self.finished.wait_timeout(state, left)
                }
            };
        }
        true
    }

    /// The report as things stand.
    pub(crate) fn report(&self, now: Instant) -> ShutdownReport {
        let state = self.lock();
        let mut tally = state.tally;
        let racks = state.rack.iter().chain(&self.pool_rack);
        let unheard: u64 = racks.map(|rack| rack.completed()).sum();
        tally.accepted += unheard;
        tally.completed += unheard;
        let until = state.done.unwrap_or(now);
        let report = ShutdownReport {
            accepted: tally.accepted,
            completed: tally.completed,
            failed: tally.failed,
            cancelled: tally.cancelled,
            dropped: tally.dropped,
            stragglers: state.stragglers(now),
            took: state
                .began
                .map_or(Duration::ZERO, |began| until.saturating_duration_since(began)),
            ..ShutdownReport::default()
        };
        debug_assert_eq!(tally.pending(), report.stragglers.len() as u64, "the report adds up");
        report
    }

    /// The last one out turns the light off: worker, guest or steward, whoever it is.
    pub(super) fn check_done(&self, state: &mut State<R, E>, now: Instant, fx: &mut Effects<R, E>) {
        let empty = state.roster.live() == 0 && state.guests.is_empty() && !state.steward_live;
        if state.phase == Phase::Running || !empty || state.done.is_some() {
            return;
        }
        debug_assert_eq!(state.tally.pending(), 0, "nobody leaves before every task has ended");
        state.done = Some(now);
        if state.phase == Phase::Stopping {
            state.phase = Phase::Stopped;
            let sequence = state.next_sequence();
            fx.news.push(News::Phase { sequence, phase: Phase::Stopped });
        }
        // Under the lock: a waiter is either before its look at `done` or inside its wait.
        self.finished.notify_all();
        fx.over = true;
        fx.wake(state.timekeeper.as_ref());
    }
}

impl<R, E> State<R, E> {
    fn enter(&mut self, phase: Phase, now: Instant, fx: &mut Effects<R, E>) {
        self.phase = phase;
        if std::mem::take(&mut self.paused) {
            let sequence = self.next_sequence();
            fx.news.push(News::Paused { sequence, paused: false });
        }
        self.began.get_or_insert(now);
        self.forget_partings();
        let sequence = self.next_sequence();
        fx.news.push(News::Phase { sequence, phase });
        for appointment in [self.tick.take(), self.reserve_watch.take()].into_iter().flatten() {
            self.agenda.remove(appointment);
        }
        while let Some(next) = self.outside.next() {
            self.turn_away(next, TaskError::ShuttingDown, fx);
        }
        fx.wake(self.steward.as_ref());
    }

    /// Takes back what futures were granted and have not fetched: nobody knows when they are polled.
    fn revoke_grants(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        let granted: Vec<(u32, usize)> = self
            .claims
            .iter()
            .filter_map(|(key, _, claim)| Some((key, claim.granted()?)))
            .collect();
        for (key, seat) in granted {
            let case = Case::not_begun(Gone::Runtime);
            self.answer(Who::Claim(key), TaskError::Killed, true, fx);
            let mut lease = self.shelf.take(seat).expect("a granted resource lies on the shelf");
            let _ = self.settle(seat, &mut lease, case, now); // it ends as killed
            self.shelf.put(seat, lease);
            self.tally.end(Outcome::Killed.fate());
            if let Some(order) = self.freed(seat, now, fx) {
                self.order(seat, order, fx);
            }
        }
    }

    /// The same for jobs that runners were ordered to run and have not fetched.
    fn revoke_runs(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        for seat in 0..self.seats.len() {
            let order = &mut self.seats[seat].order;
            let Some(Order::Run(job)) = order.take_if(|order| matches!(order, Order::Run(_)))
            else {
                continue;
            };
            let case = Case::not_begun(Gone::Runtime);
            let mut lease = self.shelf.take(seat).expect("with the order its resource lies there");
            let _ = self.settle(seat, &mut lease, case, now); // it ends as killed
            self.shelf.put(seat, lease);
            self.end(Who::Job(job), TaskError::Killed, fx);
            if let Some(order) = self.freed(seat, now, fx) {
                self.order(seat, order, fx);
            }
        }
    }

    /// Workers without a resource look at the phase when they wake.
    pub(crate) fn wake_unequipped(&self, fx: &mut Effects<R, E>) {
        for seat in self.roster.unequipped() {
            fx.wake(self.seats[seat].waiter.as_ref());
        }
    }
}
