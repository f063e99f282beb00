//! Random programs over several threads, drawn from the schedule's own chance, so that it repeats them too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use super::{
    Count, Fault, Manager, Outcome, Res, World, build, explore, panic_quietly, until_told,
};
use crate::{Backoff, Overflow, Priority, ShutdownReport, TaskContext, TaskError, TaskHandle};

/// What callers heard, in the words of the report. The counts are plain: see the module above.
#[derive(Debug, Default)]
struct Heard {
    completed: Count,
    failed: Count,
    cancelled: Count,
    killed: Count,
    expired: Count,
    full: Count,
    refused: Count,
}

impl Heard {
    fn note(&self, outcome: &Outcome) {
        match outcome {
            Ok(()) => self.completed.one(),
            Err(TaskError::Cancelled) => self.cancelled.one(),
            Err(TaskError::Killed) => self.killed.one(),
            Err(TaskError::Expired) => self.expired.one(),
            Err(TaskError::QueueFull) => self.full.one(),
            Err(TaskError::ShuttingDown) => self.refused.one(),
            Err(TaskError::WouldDeadlock) => panic!("no task of a program waits for another"),
            Err(_) => self.failed.one(),
        }
    }

    fn all(&self) -> usize {
        let Self { completed, failed, cancelled, killed, expired, full, refused } = self;
        [completed, failed, cancelled, killed, expired, full, refused].map(Count::get).iter().sum()
    }

    /// Fails unless the report says what was heard.
    fn assert_told_by(&self, report: &ShutdownReport, overflow: Option<Overflow>) {
        let ends = [report.completed, report.failed, report.cancelled];
        let heard =
            [&self.completed, &self.failed, &self.cancelled].map(|ended| ended.get() as u64);
        assert_eq!(ends, heard, "{report:?} but {self:?}");
        // Who expires may have waited for room, and who finds the queue full may be the one that was there or the
        // one that came: only the first are accepted, and so dropped.
        let (expired, full) = (self.expired.get(), self.full.get());
        let (least, most) = match overflow {
            None => (expired, expired),
            Some(Overflow::Reject) => (expired, expired),
            Some(Overflow::Wait) => (0, expired),
            Some(Overflow::DropOldest) => (expired, expired + full),
        };
        let dropped = (self.killed.get() + least) as u64..=(self.killed.get() + most) as u64;
        assert!(dropped.contains(&report.dropped), "{report:?} but {self:?} with {overflow:?}");
        // Which leaves for `accepted` what is not refused: it adds up, as its caller checks.
    }
}

/// What the threads of a program tell in common.
#[derive(Debug, Default)]
struct Board {
    heard: Heard,
    /// Tasks that were handed over.
    sent: Count,
    /// The highest cap so far.
    cap: AtomicUsize,
    /// How many `run_now` are under way, and how many were at most.
    urgent: AtomicUsize,
    most_urgent: AtomicUsize,
}

impl Board {
    fn run_now(&self, run: impl FnOnce() -> Outcome) {
        let urgent = self.urgent.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_urgent.fetch_max(urgent, Ordering::SeqCst);
        self.heard.note(&run());
        self.urgent.fetch_sub(1, Ordering::SeqCst);
    }
}

fn draw(below: u32) -> u32 {
    thread_rng().gen_range(0..below)
}

fn one_of<T: Copy>(all: &[T]) -> T {
    all[draw(all.len() as u32) as usize]
}

/// A task whose attempts go as chance has it.
fn task(runs: &Count) -> impl FnMut(&TaskContext, &mut Res) -> Result<(), Fault> + Send + 'static {
    let (kind, runs) = (draw(6), runs.clone());
    move |cx, _| {
        runs.one();
        match kind {
            0 => Err(Fault::Own),
            1 => Err(Fault::Sick),
            2 if cx.attempt() == 1 => Err(Fault::Sick),
            3 => panic_quietly(),
            _ => Ok(()),
        }
    }
}

/// Some steps, then all handles.
fn play(manager: Manager, board: &Arc<Board>) -> Vec<ShutdownReport> {
    let mut reports = Vec::new();
    let mut handles: Vec<TaskHandle<(), Fault>> = Vec::new();
    for _ in 0..draw(5) {
        let single = Count::default();
        let priority = one_of(&[Priority::Low, Priority::Normal, Priority::High]);
        let limit = Duration::from_millis(1);
        let step = draw(14);
        if step <= 9 {
            board.sent.one();
        }
        match step {
            0..=2 => board.heard.note(&manager.task(task(&single)).priority(priority).run()),
            3..=4 => {
                board.run_now(|| manager.task_once(task(&single)).run_now());
                assert!(single.get() <= 1, "once means once");
            }
            5..=6 => handles.push(manager.task(task(&single)).priority(priority).submit()),
            7 => handles
                .push(manager.task(task(&single)).start_within(limit).timeout(limit).submit()),
            8 => {
                let handle = manager.task(until_told).priority(priority).submit();
                handle.cancel();
                handles.push(handle);
            }
            9 => {
                let board = Arc::clone(board);
                manager.task(task(&single)).on_complete(move |outcome| board.heard.note(&outcome));
            }
            10 => {
                let cap = 1 + draw(2) as usize;
                board.cap.fetch_max(cap, Ordering::SeqCst); // before anybody is hired for it
                manager.resize(1, cap).unwrap_or_default();
            }
            11 => {
                manager.pause();
                manager.resume();
            }
            12 if draw(3) == 0 => reports.extend(manager.stop()),
            13 if draw(3) == 0 => reports.extend(manager.kill()),
            _ => thread::yield_now(),
        }
    }
    drop(manager);
    for handle in handles {
        board.heard.note(&handle.wait());
    }
    reports
}

// Promises 1, 2, 3 and 5, and small print: the report adds up, whatever the program and its schedule.
#[test]
fn whatever_a_program_does_on_any_schedule_everything_is_accounted_for() {
    explore(|| {
        let (world, board) = (World::new(), Arc::<Board>::default());
        let (cap, pool) = (1 + draw(2) as usize, draw(2) as usize);
        board.cap.store(cap, Ordering::SeqCst);
        let mut config = world.config(1, cap).resource_pool_size(pool);
        let overflow = (draw(2) == 0)
            .then(|| one_of(&[Overflow::Wait, Overflow::Reject, Overflow::DropOldest]));
        if let Some(overflow) = overflow {
            config = config.queue_capacity(1 + draw(2) as usize).overflow(overflow);
        }
        if draw(2) == 0 {
            config = config.retry_backoff(Backoff::fixed(Duration::from_millis(1)));
        }
        config = config.lending(draw(4) > 0);
        let manager = build(config);
        world.failing.store(draw(2) as usize, Ordering::SeqCst);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (manager, board) = (manager.clone(), Arc::clone(&board));
                thread::spawn(move || play(manager, &board))
            })
            .collect();
        let kept = (draw(2) == 0).then_some(manager);
        let mut reports = Vec::new();
        for thread in threads {
            reports.extend(thread.join().unwrap());
        }
        if let Some(manager) = kept {
            let _ = if draw(2) == 0 { manager.stop() } else { manager.kill() };
            reports.push(manager.join());
        }
        world.await_end();
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        // Workers' resources, pooled ones, and one for each `run_now` under way.
        let most = count(&board.cap) + pool + count(&board.most_urgent);
        world.assert_over(most);
        assert_eq!(board.heard.all(), board.sent.get(), "everybody is told once: {board:?}");
        for report in reports {
            world.assert_adds_up(&report, most);
            board.heard.assert_told_by(&report, overflow);
        }
    });
}
