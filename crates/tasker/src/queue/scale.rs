//! What scaling asks of the queue: the load, a plan carried out, new limits, a pause, and an account of
//! all that.

use std::time::{Duration, Instant};

use super::due::Due;
use super::seat::Order;
use super::{Effects, News, Queue, State};
use crate::autoscale::{
    Headcount, Load, Move, Plan, Reason, carry_out, is_unneeded, is_worth_watching,
    pause_between_looks,
};
use crate::error::ResizeError;
use crate::event::DestroyReason;
use crate::explain::{Change, Outlook};
use crate::pool::roster::Condition;
use crate::shutdown::Phase;

/// Looks are this far apart where bursting is off and base workers are missing all the same.
const FALLBACK: Duration = Duration::from_millis(100);

/// How many workers are without a resource.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ByKind {
    /// They are making one.
    creating: usize,
    /// They wait to try again.
    failing: usize,
    /// They are to take over from another.
    replacing: usize,
}

/// The number of workers was changed.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    from: usize,
    to: usize,
    reason: Reason,
    at: Instant,
}

impl<R, E> Queue<R, E> {
    /// What a policy is shown; `None` where there is nothing to decide.
    pub(crate) fn load(&self, now: Instant) -> Option<Load> {
        let mut state = self.lock();
        state.scales().then(|| state.load(now))
    }

    /// Does what a plan asks for, as far as the limits allow; whether it asked for more than that.
    pub(crate) fn carry_out(&self, plan: Plan, now: Instant, fx: &mut Effects<R, E>) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        if !state.scales() {
            return false;
        }
        state.last_look = Some(now);
        let count = state.headcount();
        let staying = count.staying();
        let excessive = plan.workers > count.max_worker_count.max(staying)
            || plan.workers < count.worker_count.min(staying);
        state.latest = Some(plan.reason.clone());
        let planned = carry_out(plan.workers, &count);
        match planned {
            Move::Hold => {
                state.dismiss_tired(&count, now, fx);
                state.dismiss_unequipped(now, fx);
            }
            Move::Hire(workers) => {
                let reason = why_hire(plan, &count);
                state.grow(workers, reason, now, fx);
            }
            Move::Dismiss(workers) => state.shrink(workers, plan.reason, now, fx),
        }
        if planned == Move::Hold && count.staying() >= count.worker_count {
            state.watch_calmly(now, fx);
        } else {
            state.watch(now, fx);
        }
        excessive
    }

    /// Sets new limits. Whoever is one too many goes when it is free; whoever is missing is hired.
    pub(crate) fn resize(
        &self,
        worker_count: usize,
        max_worker_count: usize,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) -> Result<(), ResizeError> {
        if worker_count == 0 {
            return Err(ResizeError::NoWorkers);
        }
        if max_worker_count < worker_count {
            return Err(ResizeError::MaxBelowWorkers { worker_count, max_worker_count });
        }
        let mut state = self.lock();
        let state = &mut *state;
        if state.phase != Phase::Running {
            return Err(ResizeError::ShuttingDown);
        }
        state.rules.worker_count = worker_count;
        state.rules.max_worker_count = max_worker_count;
        state.roster.set_max(state.cap());
        state.may_scale = state.rules.may_scale();
        state.gauge(now);
        state.note_on_rack();
        let reason = Reason::Resized { worker_count, max_worker_count };
        let missing = worker_count.saturating_sub(state.headcount().staying());
        if missing > 0 {
            state.grow(missing, reason, now, fx);
        } else if state.surplus() > 0 {
            // Those who have no resource go first, then as many as have one and are too many: a resource
            // that is still being made makes up for none. Who is busy follows when it is free.
            state.shrinking = true;
            let (from, surplus) = (state.headcount().staying(), state.surplus());
            state.scaled(from, from - surplus, reason, now, fx);
            state.dismiss_waiting_to_retry(surplus, fx);
            let idle = state.ready_surplus();
            state.send_away(idle, fx);
        }
        state.watch(now, fx);
        Ok(())
    }

    /// Holds tasks back, or lets them start again. Whether that changed anything.
    pub(crate) fn set_paused(&self, paused: bool, now: Instant, fx: &mut Effects<R, E>) -> bool {
        let mut state = self.lock();
        let state = &mut *state;
        if state.phase != Phase::Running || state.paused == paused {
            return false;
        }
        state.paused = paused;
        let sequence = state.next_sequence();
        fx.news.push(News::Paused { sequence, paused });
        if !paused {
            state.floor(now, fx);
            state.watch(now, fx);
            state.relieve(true, now, fx);
        }
        true
    }

    /// How things stand, and why.
    pub(crate) fn outlook(&self, now: Instant) -> Outlook {
        let state = self.lock();
        Outlook {
            phase: state.phase,
            paused: state.paused,
            count: state.headcount(),
            delayed: state.delayed.len(),
            outside: state.outside.jobs() + state.outside.claims(),
            longest: state.oldest_wait(now),
            failures: state.failures,
            policy: state.latest.clone(),
            stuck: state.stuck(now),
            last_change: state.last_change.clone().map(|Changed { from, to, reason, at }| Change {
                from,
                to,
                reason,
                ago: now.saturating_duration_since(at),
            }),
        }
    }

    /// A worker's thread could not be started; the next attempt waits for an interval.
    pub(crate) fn unstarted(&self, seat: usize, now: Instant, fx: &mut Effects<R, E>) {
        {
            let mut state = self.lock();
            let interval = state.interval();
            state.last_look = now.checked_add(interval);
        }
        self.left_and(seat, false, now, fx);
    }
}

/// The reason of a hire that a plan may or may not have asked for.
fn why_hire(plan: Plan, count: &Headcount) -> Reason {
    let staying = count.staying();
    if count.worker_count > staying {
        let (worker_count, max_worker_count) = (count.worker_count, count.max_worker_count);
        Reason::Resized { worker_count, max_worker_count }
    } else if plan.workers > staying {
        plan.reason
    } else if count.is_deserted() {
        Reason::Nobody { queued: count.queued }
    } else {
        Reason::MinIdle { in_use: count.in_use, min_idle: count.min_idle }
    }
}

impl<R, E> State<R, E> {
    /// Whether the number of workers is anybody's business now.
    fn scales(&self) -> bool {
        self.built && self.phase == Phase::Running && !self.paused
    }

    /// Whether more or fewer than the base may be there.
    fn bursts(&self) -> bool {
        !self.rules.burst_interval.is_zero()
    }

    pub(crate) fn interval(&self) -> Duration {
        if self.bursts() { self.rules.burst_interval } else { FALLBACK }
    }

    /// Workers beyond what there should be, after a resize.
    pub(crate) fn surplus(&self) -> usize {
        let count = self.headcount();
        count.staying().saturating_sub(count.max_worker_count)
    }

    /// The same among those who have a resource.
    pub(crate) fn ready_surplus(&self) -> usize {
        let count = self.headcount();
        (count.in_use + count.idle).saturating_sub(count.max_worker_count)
    }

    /// Who is there. A successor under way counts as leaving, and so does a worker that goes when it is free,
    /// since its successor is there: the two of them are one worker.
    pub(crate) fn headcount(&self) -> Headcount {
        let ByKind { creating, failing, replacing } = self.unequipped_by_kind();
        let outgoing = self.outgoing;
        Headcount {
            worker_count: self.rules.worker_count,
            max_worker_count: match self.bursts() {
                true => self.rules.max_worker_count,
                false => self.rules.worker_count,
            },
            min_idle: self.rules.life.min_idle,
            queued: self.lanes.jobs() + self.lanes.claims(),
            in_use: self.roster.in_use() - outgoing,
            idle: self.roster.idle(),
            creating,
            failing,
            leaving: self.roster.count(Condition::Leaving) + replacing + outgoing
                - self.stuck_workers(),
            allowance: self.allowance.get(),
        }
    }

    /// Counted anew only if something has changed: with a thousand workers that try in vain, each task that comes
    /// would have to look at all of them.
    fn unequipped_by_kind(&self) -> ByKind {
        let version = (self.roster.version(), self.regrouped);
        let (known, by_kind) = self.by_kind.get();
        if known == version {
            return by_kind;
        }
        let mut by_kind = ByKind::default();
        for seat in self.roster.unequipped() {
            let seat = &self.seats[seat];
            let kind = match (seat.predecessor, seat.retry) {
                (Some(_), _) => &mut by_kind.replacing,
                (None, Some(_)) => &mut by_kind.failing,
                (None, None) => &mut by_kind.creating,
            };
            *kind += 1;
        }
        self.by_kind.set((version, by_kind));
        by_kind
    }

    /// A worker without a resource has become of another kind: it waits for its second try, or it is to take over
    /// from another.
    pub(crate) fn regroup(&mut self) {
        self.regrouped += 1;
    }

    fn load(&mut self, now: Instant) -> Load {
        self.gauge(now);
        self.hear_rack();
        let count = self.headcount();
        let creation_time = self.gauge.creation_time();
        let creating = self
            .roster
            .unequipped()
            .map(|seat| &self.seats[seat])
            .filter(|seat| seat.predecessor.is_none() && seat.retry.is_none())
            .map(|seat| {
                let since = seat.creating_since.unwrap_or(now);
                creation_time.saturating_sub(now.saturating_duration_since(since))
            })
            .collect();
        let running = self.seats.iter().map(|seat| &seat.running).filter(|running| running.active);
        let running = running.filter_map(|running| running.started);
        let ages = running.map(|started| now.saturating_duration_since(started));
        let since = |since| now.saturating_duration_since(since);
        Load {
            worker_count: count.worker_count,
            max_worker_count: count.max_worker_count,
            min_idle: count.min_idle,
            interval: self.interval(),
            queued: count.queued,
            oldest_wait: self.oldest_wait(now),
            in_use: count.in_use,
            idle: self.roster.idle_since().map(since).collect(),
            creating,
            failing: count.failing,
            leaving: count.leaving,
            allowance: count.allowance,
            creation_time,
            history: self.gauge.history(ages, now),
        }
    }

    fn oldest_wait(&self, now: Instant) -> Option<Duration> {
        let job = |entry: &super::Entry<super::Job<R, E>>| entry.what.ticket().queued_at;
        let jobs = self.lanes.first_jobs().map(job);
        let claims = self.lanes.first_claims();
        let claims =
            claims.filter_map(|entry| self.claims.get(entry.what)).map(|claim| claim.since);
        jobs.chain(claims).min().map(|since| now.saturating_duration_since(since))
    }

    pub(super) fn grow(
        &mut self,
        workers: usize,
        reason: Reason,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        let from = self.headcount().staying();
        let hired: Vec<_> = (0..workers).map_while(|_| self.hire()).collect();
        if hired.is_empty() {
            return;
        }
        self.scaled(from, from + hired.len(), reason, now, fx);
        fx.news.extend(hired.into_iter().map(|(seat, number)| News::Hired { seat, number }));
    }

    /// Sends idle workers away, the coldest first.
    fn shrink(&mut self, workers: usize, reason: Reason, now: Instant, fx: &mut Effects<R, E>) {
        let from = self.headcount().staying();
        // One stays beside those that are held up: it would be hired again.
        let spare = if self.held_up > 0 { from.saturating_sub(self.held_up + 1) } else { workers };
        let workers = workers.min(spare);
        let gone = self.send_away(workers, fx);
        if gone > 0 {
            self.scaled(from, from - gone, reason, now, fx);
        }
    }

    /// As [`shrink`](Self::shrink), told by somebody else; how many went.
    fn send_away(&mut self, workers: usize, fx: &mut Effects<R, E>) -> usize {
        let mut gone = 0;
        while gone < workers
            && let Some(seat) = self.roster.dismiss_coldest()
        {
            gone += 1;
            self.forget_age(seat);
            self.order(seat, Order::Leave(DestroyReason::Idle), fx);
        }
        gone
    }

    /// Sends burst workers away that were idle for longer than was allowed, whatever the policy says.
    fn dismiss_tired(&mut self, count: &Headcount, now: Instant, fx: &mut Effects<R, E>) {
        let Some(limit) = self.rules.life.idle_timeout else { return };
        let idle = |since| now.saturating_duration_since(since);
        let tired = self.roster.idle_since().take_while(|since| idle(*since) >= limit).count();
        let workers = tired.min(count.dismissible());
        let longest = self.roster.idle_since().next().map(idle);
        if workers > 0
            && let Some(idle_for) = longest
        {
            self.shrink(workers, Reason::IdleTimeout { idle_for }, now, fx);
        }
    }

    /// A burst worker that cannot get a resource is not needed when nothing waits.
    fn dismiss_unequipped(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        let count = self.headcount();
        if count.failing == 0 || !is_unneeded(&count) {
            return;
        }
        let from = count.staying();
        let gone = self.dismiss_waiting_to_retry(from - count.least(), fx);
        if gone > 0 {
            self.scaled(from, from - gone, Reason::Unequipped, now, fx);
        }
    }

    fn dismiss_waiting_to_retry(&mut self, workers: usize, fx: &mut Effects<R, E>) -> usize {
        let waiting = self.roster.unequipped().filter(|seat| {
            let seat = &self.seats[*seat];
            seat.retry.is_some() && seat.order.is_none() && seat.predecessor.is_none()
        });
        let waiting: Vec<usize> = waiting.take(workers).collect();
        for seat in &waiting {
            // It counts as gone from here on, so that nobody leaves work to it.
            self.roster.set(*seat, Condition::Leaving);
            self.order(*seat, Order::Leave(DestroyReason::Idle), fx);
        }
        waiting.len()
    }

    /// Sees to it that the policy is asked in time: soon if a task waits and nobody is idle, after an
    /// interval while there is anything to scale, else not at all.
    pub(crate) fn watch(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        if !self.scales() {
            return;
        }
        if self.tick.is_some_and(|tick| tick.at() <= now) {
            self.hastened = true;
            return;
        }
        let count = self.headcount();
        let waits = !self.lanes.is_empty() && count.idle == 0;
        let lacks = count.idle < count.min_idle || count.staying() < count.worker_count;
        let soon = count.room() > 0 && ((self.bursts() && waits) || lacks);
        self.hastened = soon || count.room() == 0;
        let at = if soon {
            let next = self.last_look.and_then(|last| last.checked_add(self.between_looks));
            next.map_or(now, |at| at.max(now))
        } else if self.bursts() && is_worth_watching(&count) {
            let Some(at) = now.checked_add(self.interval()) else { return };
            at
        } else {
            return;
        };
        match self.tick {
            Some(tick) if tick.at() <= at => return,
            Some(tick) => {
                self.agenda.remove(tick);
            }
            None => {}
        }
        self.tick = Some(self.appoint(at, Due::Tick, fx));
    }

    /// After a look that changed nothing the next one waits for an interval, unless a task comes.
    fn watch_calmly(&mut self, now: Instant, fx: &mut Effects<R, E>) {
        let count = self.headcount();
        let lacks = count.idle < count.min_idle && count.room() > 0;
        if self.tick.is_none()
            && self.bursts()
            && (lacks || is_worth_watching(&count))
            && let Some(at) = now.checked_add(self.interval())
        {
            self.hastened = false;
            self.tick = Some(self.appoint(at, Due::Tick, fx));
        }
    }

    /// A task has come to a lane or got a resource at once.
    #[inline]
    pub(crate) fn note_arrival(&mut self, now: Instant) {
        if self.may_scale {
            self.gauge(now).arrived(now);
        }
    }

    /// A creation has ended.
    pub(crate) fn note_creation(&mut self, took: Option<Duration>) {
        match took {
            Some(took) => {
                self.failures = 0;
                self.gauge.created(took);
                self.allowance.succeeded(self.rules.max_worker_count);
                let creation_time = self.gauge.creation_time();
                self.between_looks = pause_between_looks(creation_time, self.rules.burst_interval);
            }
            None => {
                self.failures = self.failures.saturating_add(1);
                let count = self.headcount();
                self.allowance.failed(count.creating + count.failing);
            }
        }
    }

    fn scaled(
        &mut self,
        from: usize,
        to: usize,
        reason: Reason,
        now: Instant,
        fx: &mut Effects<R, E>,
    ) {
        self.last_change = Some(Changed { from, to, reason: reason.clone(), at: now });
        let sequence = self.next_sequence();
        fx.news.push(News::Scaled { sequence, from, to, reason });
    }
}
