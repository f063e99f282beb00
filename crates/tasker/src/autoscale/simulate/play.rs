//! The events of a simulation, one after the other, and the rules by which one leads to the next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::super::{
    Allowance, Gauge, Headcount, Load, Move, Reason, ScalingPolicy, carry_out, is_unneeded,
    is_worth_watching, pause_between_looks,
};
use super::simulation::{Crew, Recorder, Waits};
use super::{Scaling, Setup, Simulation, Trace};
use crate::retry::backoff::Backoff;

pub(super) fn play(
    trace: &Trace,
    policy: impl ScalingPolicy,
    setup: &Setup,
    base: Instant,
) -> Simulation {
    let mut play = Play::new(trace, policy, setup, base);
    play.open();
    while let Some(Reverse(Due { at, what, .. })) = play.due.pop() {
        if play.pending == 0 && at > play.trace.duration() {
            break;
        }
        play.pass(at);
        play.happens(what);
        play.inspect();
    }
    play.pass(play.trace.duration().max(play.now));
    play.finish()
}

/// What a worker does.
#[derive(Debug, Clone, Copy)]
enum Seat {
    Free,
    Creating { since: Duration },
    Failing,
    Idle { since: Duration },
    InUse { task: usize, since: Duration, breaks: bool },
    Leaving,
}

#[derive(Debug)]
struct Worker {
    seat: Seat,
    /// Counts changes of the seat, so that what was due for an earlier one is known to be out of date.
    serial: u64,
    /// Creations that failed in a row.
    failures: u32,
}

#[derive(Debug, Default, Clone, Copy)]
struct Task {
    attempts: u32,
    queued_at: Duration,
    waited: Duration,
}

/// Whose turn it is: a worker in the condition that it was in when this became due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    worker: usize,
    serial: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrives(usize),
    AttemptEnds(Turn),
    CreationEnds(Turn),
    TriesAgain(Turn),
    IsGone(Turn),
    OutageBegins,
    Look,
    Tick,
}

/// In the order of time; what became due first is first among equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    serial: u64,
    what: What,
}

struct Play<'a, P> {
    trace: &'a Trace,
    policy: P,
    setup: &'a Setup,
    now: Duration,
    /// What `now` is counted from.
    base: Instant,
    due: BinaryHeap<Reverse<Due>>,
    serial: u64,
    rng: Rng,

    tasks: Vec<Task>,
    queue: VecDeque<usize>,
    /// Tasks that have not ended.
    pending: usize,

    workers: Vec<Worker>,
    /// Seats without a worker.
    free: Vec<usize>,
    /// Idle workers, the coldest first.
    idle: Vec<usize>,
    crew: Crew,

    gauge: Gauge,
    allowance: Allowance,
    /// Before that the policy is not asked because of an arrival.
    next_look: Duration,
    look_is_due: bool,
    tick_is_due: bool,

    recorder: Recorder,
    simulation: Simulation,
}

impl<'a, P: ScalingPolicy> Play<'a, P> {
    fn new(trace: &'a Trace, policy: P, setup: &'a Setup, base: Instant) -> Self {
        let tasks = vec![Task::default(); trace.arrivals().len()];
        let step = (trace.duration() / 600).max(Duration::from_millis(10));
        Self {
            trace,
            policy,
            setup,
            base,
            now: Duration::ZERO,
            due: BinaryHeap::new(),
            serial: 0,
            rng: Rng::with_seed(setup.seed),
            pending: tasks.len(),
            tasks,
            queue: VecDeque::new(),
            workers: Vec::new(),
            free: Vec::new(),
            idle: Vec::new(),
            crew: Crew::default(),
            gauge: Gauge::new(base),
            allowance: Allowance::FULL,
            next_look: Duration::ZERO,
            look_is_due: false,
            tick_is_due: false,
            recorder: Recorder::new(step),
            simulation: nothing_yet(),
        }
    }

    /// The base is there, and the first task is on its way.
    fn open(&mut self) {
        for _ in 0..self.setup.worker_count {
            let worker = self.hire();
            self.simulation.creations += 1;
            self.gauge.created(self.setup.creation_time);
            self.rest(worker);
        }
        for outage in self.trace.outages() {
            self.at(outage.start, What::OutageBegins);
        }
        self.expect(0);
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Arrives(task) => self.arrives(task),
            What::AttemptEnds(turn) if self.is_valid(turn) => self.attempt_ends(turn.worker),
            What::CreationEnds(turn) if self.is_valid(turn) => self.creation_ends(turn.worker),
            What::TriesAgain(turn) if self.is_valid(turn) => self.create(turn.worker),
            What::IsGone(turn) if self.is_valid(turn) => self.is_gone(turn.worker),
            What::AttemptEnds(_)
            | What::CreationEnds(_)
            | What::TriesAgain(_)
            | What::IsGone(_) => {}
            What::OutageBegins => self.outage_begins(),
            What::Look => {
                self.look_is_due = false;
                if !self.queue.is_empty() && self.idle.is_empty() {
                    self.look();
                }
            }
            What::Tick => {
                self.tick_is_due = false;
                if is_worth_watching(&self.headcount()) {
                    self.ask();
                }
            }
        }
        self.watch();
    }

    // Tasks.

    fn expect(&mut self, task: usize) {
        if let Some(arrival) = self.trace.arrivals().get(task) {
            self.at(arrival.at, What::Arrives(task));
        }
    }

    fn arrives(&mut self, task: usize) {
        self.recorder.comes(self.trace.arrivals()[task].service);
        self.expect(task + 1);
        self.line_up(task);
    }

    /// The task waits, and is served at once if somebody is idle. If nobody is, the policy is asked.
    fn line_up(&mut self, task: usize) {
        let now = self.instant();
        self.gauge.arrived(now);
        self.tasks[task].queued_at = self.now;
        self.queue.push_back(task);
        if let Some(worker) = self.idle.pop() {
            self.serve(worker);
        } else if self.now >= self.next_look || self.headcount().is_deserted() {
            self.look();
        } else if !self.look_is_due {
            self.look_is_due = true;
            self.at(self.next_look, What::Look);
        }
    }

    /// A worker with a resource takes the task that came first, or rests.
    fn serve(&mut self, worker: usize) {
        let Some(task) = self.queue.pop_front() else {
            return self.rest(worker);
        };
        let waited = self.now - self.tasks[task].queued_at;
        self.recorder.waited(waited);
        let state = &mut self.tasks[task];
        state.waited += waited;
        state.attempts += 1;
        let arrival = &self.trace.arrivals()[task];
        let breaks = arrival.poison || self.trace.is_down(self.now);
        self.sit(worker, Seat::InUse { task, since: self.now, breaks });
        let turn = self.turn(worker);
        self.at(self.now + arrival.service, What::AttemptEnds(turn));
    }

    fn rest(&mut self, worker: usize) {
        self.sit(worker, Seat::Idle { since: self.now });
        self.idle.push(worker);
    }

    fn attempt_ends(&mut self, worker: usize) {
        let Seat::InUse { task, since, breaks } = self.workers[worker].seat else {
            unreachable!("only a worker in use has an attempt that ends")
        };
        let now = self.instant();
        self.gauge.attempted(self.now - since, now);
        if !breaks {
            self.simulation.done += 1;
            self.pending -= 1;
            return self.serve(worker);
        }
        self.create(worker); // the resource is replaced
        if self.tasks[task].attempts <= self.setup.max_retries {
            self.line_up(task);
        } else {
            self.simulation.failed += 1;
            self.pending -= 1;
        }
    }

    fn outage_begins(&mut self) {
        for worker in 0..self.workers.len() {
            if let Seat::InUse { breaks, .. } = &mut self.workers[worker].seat {
                *breaks = true;
                self.attempt_ends(worker);
            }
        }
    }

    // Workers.

    fn hire(&mut self) -> usize {
        let worker = Worker { seat: Seat::Free, serial: 0, failures: 0 };
        match self.free.pop() {
            Some(seat) => {
                self.workers[seat].failures = 0;
                seat
            }
            None => {
                self.workers.push(worker);
                self.workers.len() - 1
            }
        }
    }

    fn create(&mut self, worker: usize) {
        self.simulation.creations += 1;
        self.sit(worker, Seat::Creating { since: self.now });
        let turn = self.turn(worker);
        self.at(self.now + self.setup.creation_time, What::CreationEnds(turn));
    }

    fn creation_ends(&mut self, worker: usize) {
        let fails = self.trace.is_down(self.now) || self.rng.f64() < self.trace.failing();
        if !fails {
            self.workers[worker].failures = 0;
            self.gauge.created(self.setup.creation_time);
            self.allowance.succeeded(self.setup.max_worker_count);
            return self.serve(worker);
        }
        self.simulation.failed_creations += 1;
        self.allowance.failed(self.crew.creating + self.crew.failing);
        self.sit(worker, Seat::Failing);
        if is_unneeded(&self.headcount()) {
            let from = self.headcount().staying();
            self.leave(worker, Duration::ZERO);
            return self.note(from, from - 1, Reason::Unequipped);
        }
        let failures = &mut self.workers[worker].failures;
        *failures = failures.saturating_add(1);
        let delay = Backoff::RECOVERY.delay(*failures, self.rng.f64());
        let turn = self.turn(worker);
        self.at(self.now + delay, What::TriesAgain(turn));
    }

    fn leave(&mut self, worker: usize, takes: Duration) {
        self.sit(worker, Seat::Leaving);
        if takes.is_zero() {
            self.is_gone(worker);
        } else {
            let turn = self.turn(worker);
            self.at(self.now + takes, What::IsGone(turn));
        }
    }

    fn is_gone(&mut self, worker: usize) {
        self.sit(worker, Seat::Free);
        self.free.push(worker);
        if self.headcount().is_deserted() {
            self.look(); // a seat is free again, and somebody waits for it
        }
    }

    /// The only place where a worker's condition changes, so that the counts are right.
    fn sit(&mut self, worker: usize, seat: Seat) {
        let worker = &mut self.workers[worker];
        if let Some(count) = count(&mut self.crew, worker.seat) {
            *count -= 1;
        }
        if let Some(count) = count(&mut self.crew, seat) {
            *count += 1;
        }
        worker.seat = seat;
        worker.serial += 1;
    }

    // The policy.

    /// Keeps asking as long as there is anything to scale.
    fn watch(&mut self) {
        if !self.tick_is_due && is_worth_watching(&self.headcount()) {
            self.tick_is_due = true;
            self.at(self.now + self.setup.interval, What::Tick);
        }
    }

    fn look(&mut self) {
        self.ask();
        let pause = pause_between_looks(self.gauge.creation_time(), self.setup.interval);
        self.next_look = self.now + pause;
    }

    fn ask(&mut self) {
        let load = self.load();
        let now = self.instant();
        let plan = self.policy.plan(&load, now);
        let from = load.workers();
        match carry_out(plan.workers, &load.headcount()) {
            Move::Hold => {}
            Move::Hire(more) => {
                for _ in 0..more {
                    let worker = self.hire();
                    self.create(worker);
                }
                self.note(from, from + more, plan.reason);
            }
            Move::Dismiss(fewer) => {
                let coldest: Vec<usize> = self.idle.drain(..fewer).collect();
                for worker in coldest {
                    self.leave(worker, self.setup.destruction_time);
                }
                self.note(from, from - fewer, plan.reason);
            }
        }
    }

    fn note(&mut self, from: usize, to: usize, reason: Reason) {
        self.simulation.scalings.push(Scaling { at: self.now, from, to, reason });
    }

    fn load(&mut self) -> Load {
        let now = self.instant();
        let creation_time = self.gauge.creation_time();
        let running = self.workers.iter().filter_map(|worker| match worker.seat {
            Seat::InUse { since, .. } => Some(self.now - since),
            _ => None,
        });
        let creating = self.workers.iter().filter_map(|worker| match worker.seat {
            Seat::Creating { since } => Some(creation_time.saturating_sub(self.now - since)),
            _ => None,
        });
        let idle = self.idle.iter().map(|worker| match self.workers[*worker].seat {
            Seat::Idle { since } => self.now - since,
            _ => Duration::ZERO,
        });
        let oldest = self.queue.front().map(|task| self.now - self.tasks[*task].queued_at);
        Load {
            worker_count: self.setup.worker_count,
            max_worker_count: self.setup.max_worker_count,
            min_idle: 0,
            interval: self.setup.interval,
            queued: self.queue.len(),
            oldest_wait: oldest,
            in_use: self.crew.in_use,
            idle: idle.collect(),
            creating: creating.collect(),
            failing: self.crew.failing,
            leaving: self.crew.leaving,
            allowance: self.allowance.get(),
            creation_time,
            history: self.gauge.history(running, now),
        }
    }

    fn headcount(&self) -> Headcount {
        let Crew { in_use, idle, creating, failing, leaving } = self.crew;
        Headcount {
            worker_count: self.setup.worker_count,
            max_worker_count: self.setup.max_worker_count,
            min_idle: 0,
            queued: self.queue.len(),
            in_use,
            idle,
            creating,
            failing,
            leaving,
            allowance: self.allowance.get(),
        }
    }

    // Time.

    fn at(&mut self, at: Duration, what: What) {
        self.serial += 1;
        self.due.push(Reverse(Due { at, serial: self.serial, what }));
    }

    fn turn(&self, worker: usize) -> Turn {
        Turn { worker, serial: self.workers[worker].serial }
    }

    fn is_valid(&self, turn: Turn) -> bool {
        self.workers[turn.worker].serial == turn.serial
    }

    fn instant(&self) -> Instant {
        self.base + self.now
    }

    fn pass(&mut self, now: Duration) {
        self.recorder.pass(now, &self.crew, self.queue.len());
        self.now = now;
    }

    /// What must hold at every moment is looked at, not assumed.
    fn inspect(&mut self) {
        let count = self.headcount();
        let there = count.staying() + count.leaving;
        let simulation = &mut self.simulation;
        simulation.peak = simulation.peak.max(there);
        simulation.cap_violations += u64::from(there > count.max_worker_count);
        simulation.base_violations += u64::from(count.staying() < count.worker_count);
        // Where the cap is full of resources that are being destroyed nobody can be hired.
        simulation.deserted += u64::from(count.is_deserted() && count.room() > 0);
    }

    fn finish(mut self) -> Simulation {
        self.recorder.close();
        let counted = self.tasks.iter().enumerate().filter(|(task, _)| self.trace.counts(*task));
        let waits = Waits::new(counted.map(|(_, task)| task.waited).collect());
        Simulation {
            wait_p50: waits.percentile(50),
            wait_p90: waits.percentile(90),
            wait_p99: waits.percentile(99),
            wait_max: waits.percentile(100),
            wait_mean: waits.mean(),
            resource_seconds: self.recorder.resource_seconds,
            duration: self.now,
            series: self.recorder.series,
            ..self.simulation
        }
    }
}

/// The count that a condition belongs to.
fn count(crew: &mut Crew, seat: Seat) -> Option<&mut usize> {
    match seat {
        Seat::Free => None,
        Seat::Creating { .. } => Some(&mut crew.creating),
        Seat::Failing => Some(&mut crew.failing),
        Seat::Idle { .. } => Some(&mut crew.idle),
        Seat::InUse { .. } => Some(&mut crew.in_use),
        Seat::Leaving => Some(&mut crew.leaving),
    }
}

fn nothing_yet() -> Simulation {
    Simulation {
        wait_p50: Duration::ZERO,
        wait_p90: Duration::ZERO,
        wait_p99: Duration::ZERO,
        wait_max: Duration::ZERO,
        wait_mean: Duration::ZERO,
        resource_seconds: 0.0,
        creations: 0,
        failed_creations: 0,
        peak: 0,
        cap_violations: 0,
        base_violations: 0,
        deserted: 0,
        done: 0,
        failed: 0,
        duration: Duration::ZERO,
        series: Vec::new(),
        scalings: Vec::new(),
    }
}
