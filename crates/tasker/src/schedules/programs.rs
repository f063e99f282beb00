//! Random programs over several threads, drawn from the schedule's own chance, so that it repeats them too.

use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use super::{
    Count, Fault, Manager, Outcome, Res, World, build, explore, panic_quietly, until_told,
};
use crate::{Backoff, Overflow, Priority, ShutdownReport, TaskContext, TaskError, TaskHandle};

/// What the callers of one thread heard, in the words of the report.
#[derive(Debug, Default, Clone, Copy)]
struct Heard {
    completed: u64,
    failed: u64,
    cancelled: u64,
    /// Killed, expired, evicted or refused at a full queue.
    lost: u64,
    refused: u64,
}

impl Heard {
    fn note(&mut self, outcome: &Outcome) {
        match outcome {
            Ok(()) => self.completed += 1,
            Err(TaskError::Cancelled) => self.cancelled += 1,
            Err(TaskError::Killed | TaskError::Expired | TaskError::QueueFull) => self.lost += 1,
            Err(TaskError::ShuttingDown) => self.refused += 1,
            Err(TaskError::WouldDeadlock) => panic!("no task of a program waits for another"),
            Err(_) => self.failed += 1,
        }
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
fn play(manager: Manager, sent: &Count, answered: &Count) -> (Heard, Vec<ShutdownReport>) {
    let (mut heard, mut reports) = (Heard::default(), Vec::new());
    let mut handles: Vec<TaskHandle<(), Fault>> = Vec::new();
    for _ in 0..draw(5) {
        let single = Count::default();
        let priority = one_of(&[Priority::Low, Priority::Normal, Priority::High]);
        let limit = Duration::from_millis(1);
        match draw(14) {
            0..=2 => heard.note(&manager.task(task(&single)).priority(priority).run()),
            3..=4 => {
                heard.note(&manager.task_once(task(&single)).run_now());
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
                sent.one();
                let answered = answered.clone();
                manager.task(task(&single)).on_complete(move |_| answered.one());
            }
            10 => manager.resize(1, 1 + draw(2) as usize).unwrap_or_default(),
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
        heard.note(&handle.wait());
    }
    (heard, reports)
}

// Promises 1, 2, 3 and 5, and small print: the report adds up, whatever the program and its schedule.
#[test]
fn whatever_a_program_does_on_any_schedule_everything_is_accounted_for() {
    explore(|| {
        let world = World::new();
        let pool = draw(2) as usize;
        let mut config = world.config(1, 1 + draw(2) as usize).resource_pool_size(pool);
        if draw(2) == 0 {
            let overflow = one_of(&[Overflow::Wait, Overflow::Reject, Overflow::DropOldest]);
            config = config.queue_capacity(1 + draw(2) as usize).overflow(overflow);
        }
        if draw(2) == 0 {
            config = config.retry_backoff(Backoff::fixed(Duration::from_millis(1)));
        }
        config = config.lending(draw(4) > 0);
        let manager = build(config);
        world.failing.store(draw(2) as usize, std::sync::atomic::Ordering::SeqCst);
        let (sent, answered) = (Count::default(), Count::default());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (manager, sent, answered) = (manager.clone(), sent.clone(), answered.clone());
                thread::spawn(move || play(manager, &sent, &answered))
            })
            .collect();
        let kept = (draw(2) == 0).then_some(manager);
        let mut heard = Heard::default();
        let mut reports = Vec::new();
        for thread in threads {
            let (part, more) = thread.join().unwrap();
            heard.completed += part.completed;
            heard.failed += part.failed;
            heard.cancelled += part.cancelled;
            heard.lost += part.lost;
            heard.refused += part.refused;
            reports.extend(more);
        }
        if let Some(manager) = kept {
            let _ = if draw(2) == 0 { manager.stop() } else { manager.kill() };
            reports.push(manager.join());
        }
        world.await_end();
        world.assert_over(2 + pool + 2);
        assert_eq!(answered.get(), sent.get(), "every callback is called once");
        for report in reports {
            // Workers, the pool, and a temporary one for each thread.
            world.assert_adds_up(&report, 2 + pool + 2);
            // Callbacks do not say here how they ended.
            let called = sent.get() as u64;
            for (heard, told) in [
                (heard.completed, report.completed),
                (heard.failed, report.failed),
                (heard.cancelled, report.cancelled),
            ] {
                assert!((heard..=heard + called).contains(&told), "{heard} heard, {told} told");
            }
            assert!(report.dropped <= heard.lost + called, "{report:?} but {heard:?}");
        }
    });
}
