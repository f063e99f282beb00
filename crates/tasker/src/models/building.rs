//! Whoever builds a manager waits until every part of it is done, and learns of a failure.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::future::block_on;
use loom::thread;

use crate::engine::Building;
use crate::resource::slot::Failure;

// Two parts end at the same time, one or both of them with a failure.
#[test]
fn who_builds_waits_for_all_parts_and_learns_of_a_failure() {
    for failures in 0..=2 {
        loom::model(move || {
            let building = Arc::new(Building::new(2));
            let ended = Arc::new(AtomicUsize::new(0));
            let parts = [0, 1].map(|part| {
                let (building, ended) = (Arc::clone(&building), Arc::clone(&ended));
                thread::spawn(move || {
                    if part < failures {
                        building.failed(Failure::Error(()));
                    }
                    ended.fetch_add(1, Ordering::SeqCst);
                    building.part_done();
                })
            });
            let failure = block_on(poll_fn(|cx| building.poll(cx.waker())));
            assert_eq!((ended.load(Ordering::SeqCst), failure.is_some()), (2, failures > 0));
            for part in parts {
                part.join().unwrap();
            }
        });
    }
}
