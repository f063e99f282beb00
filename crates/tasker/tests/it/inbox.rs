//! Promises 1, 4, 11 and 17: what is handed in without the lock, while everybody is busy, is known to everybody.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use tasker::testing::ManualClock;
use tasker::{Priority, TaskContext, TaskError, TaskStatus};

use crate::support::{
    Busy, Kit, Puppet, Res, assert_complete, begin_stop, end, on_every_manager, report_of, submit,
    wait_all, waiting,
};

const BUCKET: Duration = Duration::from_millis(100);

/// More than go without the lock, so that some went with it.
const TASKS: usize = 200;

#[test]
fn whoever_asks_is_told_of_tasks_that_were_handed_in_while_all_are_busy() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        let mut handles = submit(&manager, TASKS);
        assert_eq!(manager.metrics().total_tasks_arrived, TASKS as u64 + 1);
        handles.extend(submit(&manager, TASKS));
        assert_eq!(waiting(&manager), 2 * TASKS);
        handles.extend(submit(&manager, TASKS));
        assert_eq!(manager.explain().waiting.tasks, 3 * TASKS);
        assert!(handles.iter().all(|handle| handle.status() == TaskStatus::Queued));
        let mut ids: Vec<_> = handles.iter().map(tasker::TaskHandle::id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 3 * TASKS, "each has its number from the start");
        busy.release();
        wait_all(handles);
        end(&manager, &kit);
    });
}

// Promise 17: at once, and without running it.
#[test]
fn tasks_that_were_handed_in_while_all_are_busy_can_be_cancelled() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        let first = submit(&manager, 1);
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let task = manager.task(move |_, _| -> Result<(), _> {
            panic!("{inside:?} runs although it was cancelled");
        });
        let task = task.submit();
        let last = submit(&manager, 1);
        task.cancel();
        assert_eq!(Arc::strong_count(&held), 1, "its closure is gone");
        assert!(matches!(task.wait(), Err(TaskError::Cancelled)));
        busy.release();
        wait_all(first);
        wait_all(last);
        end(&manager, &kit);
    });
}

// Promise 4: whichever way each came in. One in seven has `start_within`, for which the lock is taken.
#[test]
fn tasks_run_in_their_turn_whether_they_were_handed_in_with_the_lock_or_without() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        let (tell, told) = channel();
        let lanes = [Priority::Normal, Priority::Low, Priority::Normal, Priority::High];
        let handles: Vec<_> = (0..TASKS)
            .map(|n| {
                let (tell, lane) = (tell.clone(), lanes[(n / 5) % lanes.len()]);
                let task = manager.task(move |_, _| {
                    tell.send((lane, n)).unwrap();
                    Ok(())
                });
                let task = task.priority(lane);
                let hour = Duration::from_secs(3600);
                if n % 7 == 0 { task.start_within(hour).submit() } else { task.submit() }
            })
            .collect();
        busy.release();
        wait_all(handles);
        drop(tell);
        let ran: Vec<_> = told.iter().collect();
        let mut in_turn = ran.clone();
        in_turn.sort_by_key(|(lane, n)| (std::cmp::Reverse(*lane), *n));
        assert_eq!(ran, in_turn);
        end(&manager, &kit);
    });
}

// Promise 4: a worker that goes from task to task looks into the inbox where that may have what is before its next one.
#[test]
fn what_a_task_hands_in_is_before_everything_of_a_lower_lane() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        let (tell, told) = channel();
        let words = move |word: &'static str| {
            let tell = tell.clone();
            move |_: &TaskContext, _: &mut Res| {
                tell.send(word).unwrap();
                Ok(())
            }
        };
        let low = manager.task(words("low")).priority(Priority::Low).submit();
        let (inner, say, hand_in) = (manager.clone(), words("first"), words.clone());
        let first = manager.task_once(move |cx, res| {
            // While it runs, another one of its lane waits.
            for word in ["third", "fourth"] {
                drop(inner.task(hand_in(word)).submit());
            }
            say(cx, res)
        });
        let first = first.submit();
        let second = manager.task(words("second")).submit();
        busy.release();
        wait_all(vec![first, second, low]);
        let told: Vec<_> = told.try_iter().collect();
        assert_eq!(told, ["first", "second", "third", "fourth", "low"]);
        end(&manager, &kit);
    });
}

// Promise 12: although tasks wait and everybody is busy.
#[test]
fn nothing_is_handed_in_once_a_stop_has_begun() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        let handles = submit(&manager, TASKS);
        let stop = begin_stop(&manager);
        for handle in submit(&manager, 3) {
            assert!(matches!(handle.wait(), Err(TaskError::ShuttingDown)));
        }
        busy.release();
        wait_all(handles);
        let report = report_of(stop);
        assert_eq!((report.accepted, report.completed), (TASKS as u64 + 1, TASKS as u64 + 1));
        kit.assert_all_destroyed_once();
    });
}

// Promise 11: they were accepted, and end as everything that waits.
#[test]
fn a_kill_ends_what_was_handed_in_while_all_are_busy() {
    on_every_manager(|kind| {
        let kit = Kit::new();
        let manager = kind.build(kit.config(1));
        let busy = Busy::with(&manager, 1);
        let handles = submit(&manager, TASKS);
        let killer = std::thread::spawn({
            let manager = manager.clone();
            move || manager.kill()
        });
        for handle in handles {
            assert!(matches!(handle.wait(), Err(TaskError::Killed)));
        }
        busy.open();
        let report = killer.join().unwrap().unwrap();
        assert_eq!((report.accepted, report.dropped), (TASKS as u64 + 1, TASKS as u64));
        assert_complete(&report);
        kit.assert_all_destroyed_once();
    });
}

// A task that comes after a look which changed nothing has the policy asked again, long before the interval is over.
#[test]
fn a_policy_is_asked_as_early_for_a_task_that_is_handed_in_while_another_waits() {
    let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
    let config = kit.config(1).max_worker_count(2).burst_interval(Duration::from_secs(10));
    let config = config.clock(clock.clone()).scaling(puppet.clone());
    let manager = tasker::TaskManager::new(config).unwrap();
    let busy = Busy::with(&manager, 1);
    let mut handles = submit(&manager, 1);
    puppet.await_asked(1);
    crate::support::eventually("its plan is carried out", || manager.explain().policy.is_some());
    for asked in 2..5 {
        handles.extend(submit(&manager, 1));
        clock.advance(Duration::from_secs(1)); // as long as the policy is left alone, and no more
        puppet.await_asked(asked);
    }
    busy.release();
    wait_all(handles);
    end(&manager, &kit);
}

// Each in the moment in which it came, and not in that in which somebody took it out of the inbox.
#[test]
fn a_policy_is_shown_when_each_task_was_handed_in() {
    let (kit, clock, puppet) = (Kit::new(), ManualClock::new(), Puppet::new());
    let config = kit.config(1).max_worker_count(2).burst_interval(BUCKET);
    let manager = tasker::TaskManager::new(config.clock(clock.clone()).scaling(puppet.clone()));
    let manager = manager.unwrap();
    let busy = Busy::with(&manager, 1);
    let mut handles = submit(&manager, 10);
    puppet.await_asked(1);
    handles.extend(submit(&manager, 10));
    clock.advance(BUCKET);
    handles.extend(submit(&manager, 7));
    puppet.advance(&clock, BUCKET, BUCKET);
    handles.extend(submit(&manager, 3));
    puppet.advance(&clock, BUCKET, BUCKET);
    let load = puppet.last();
    let came = |buckets: u32| {
        let over = buckets * BUCKET;
        (load.arrival_rate(over) * load.seen(over).as_secs_f64()).round()
    };
    assert_eq!((came(2), came(4), came(5)), (3.0, 10.0, 31.0));
    busy.release();
    wait_all(handles);
    end(&manager, &kit);
}
