//! One switch, two types: a [`CancelToken`] and a [`CancellationToken`] of tokio-util, made of each other.
//!
//! Neither type has room for the other's state, so a [`Link`] carries the cancel across. It needs no
//! runtime: on our side it is a waker, on theirs a future that is polled only to leave a waker there.
//!
//! ```text
//! CancelToken ──► Link ──► their token, and the future that waits for it
//!      ▲           ▲                                    │
//!      └── weak ───┴─────────── weak ───── Bell ◄───────┘
//! ```
//!
//! What holds:
//!
//! 1. A flag of ours has one token of theirs, its *twin*, from the first conversion on, and keeps it. Several
//!    flags may have the same twin, so that all that were ever converted into each other are a star around
//!    one token of theirs: whichever flag is dropped, the others stay connected.
//! 2. Their side never keeps ours. With the last clone of a flag go its link, the waker it left and its
//!    handle on the twin.
//! 3. No lock is held while somebody is woken. tokio-util (0.7.20) marks a token and all below it as
//!    cancelled, lets go of the locks of the tree, then wakes, and tokio's `Notify` lets go of its own first.
//!    Two threads that cancel from both ends at once therefore never wait for each other.
//! 4. Either side turns once. A cancel that comes back round finds it turned and ends there.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::cancel::{CancelToken, WeakCancelToken};
use crate::sync::Mutex;
use crate::worker::attempt::{contain, discard};

/// One switch, two types (feature `tokio`): cancelling either token, or a clone of either, cancels both.
///
/// The token may be cancelled already. It may be a child: then whatever cancels its parent cancels both, and
/// cancelling them leaves the parent alone. Nothing is spawned and no runtime is needed. Dropping tokens
/// cancels nothing, and with the last of ours everything in between is freed.
///
/// Both are cancelled when the first call of `cancel` returns; until then one may be seen without the other.
/// The wakers of both run inside that call, on its thread: one that blocks keeps the others waiting, and
/// whoever cancels must not hold a lock that one of them takes. Where the [`CancellationToken`] is cancelled,
/// a panic in a waker of the [`CancelToken`] goes no further, because tokio would leave others asleep.
///
/// ```
/// use tasker::{CancelToken, Config, TaskManager};
/// use tokio_util::sync::CancellationToken;
///
/// let service = CancellationToken::new(); // the whole program stops by it
/// let stop = CancelToken::from(service.child_token());
/// let manager = TaskManager::new(Config::<(), String>::new(|| Ok(())).shutdown_on(stop.clone()))?;
///
/// service.cancel();
/// assert!(stop.is_cancelled());
/// assert!(manager.queue_task(|_, ()| Ok(())).is_err()); // it takes no more work
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl From<CancellationToken> for CancelToken {
    fn from(theirs: CancellationToken) -> Self {
        let ours = Self::new();
        ours.twin().get_or_init(|| tie(&ours, theirs));
        ours
    }
}

/// One switch, two types (feature `tokio`): cancelling either token, or a clone of either, cancels both.
///
/// What is promised of `CancelToken::from(CancellationToken)`, the other way, holds here too. Converting
/// again, or converting back, gives the same [`CancellationToken`] every time. A task's token that is
/// cancelled because its time is up cancels the other as well.
///
/// ```
/// use tasker::{Config, TaskManager};
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = TaskManager::new(Config::<(), String>::new(|| Ok(())).worker_count(1))?;
/// let (send, receive) = tokio::sync::oneshot::channel();
/// let task = manager.task_once(|cx, ()| {
///     let token = CancellationToken::from(cx.token()); // for code that asks for this type
///     send.send(token).map_err(|_| "nobody wants it")?;
///     cx.token().wait();
///     Ok("told to stop")
/// });
/// let handle = task.submit();
/// receive.await?.cancel(); // the task's own token
/// assert_eq!(handle.await?, "told to stop");
/// # Ok(())
/// # }
/// ```
impl From<CancelToken> for CancellationToken {
    fn from(ours: CancelToken) -> Self {
        ours.twin().get_or_init(|| tie(&ours, Self::new())).clone()
    }
}

/// Makes the two one switch, and gives `theirs` back.
///
/// Runs inside `get_or_init`, which must not be entered again from within: nobody else's code runs here,
/// since one of the two is so new that nobody waits for it, and the other is never turned from here.
fn tie(ours: &CancelToken, theirs: CancellationToken) -> CancellationToken {
    Link::new(ours, theirs.clone()).fasten(ours);
    theirs
}

/// What connects a flag with its twin. As a waker of ours, it cancels theirs.
struct Link {
    ours: WeakCancelToken,
    theirs: CancellationToken,
    cancelled: Mutex<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Link {
    fn new(ours: &CancelToken, theirs: CancellationToken) -> Arc<Self> {
        let cancelled = Mutex::new(Box::pin(theirs.clone().cancelled_owned()));
        Arc::new(Self { ours: ours.downgrade(), theirs, cancelled })
    }

    fn fasten(self: Arc<Self>, ours: &CancelToken) {
        let bell = Waker::from(Arc::new(Bell(Arc::downgrade(&self))));
        ours.on_cancel(Waker::from(self.clone()));
        self.look(&bell);
    }

    /// Cancels ours if theirs is cancelled, and else has `bell` rung when it is.
    fn look(&self, bell: &Waker) {
        let mut cx = Context::from_waker(bell);
        // Asked first, since a future that has ended must not be polled again.
        let cancelled =
            self.theirs.is_cancelled() || self.cancelled.lock().as_mut().poll(&mut cx).is_ready();
        // The lock is free again: what `cancel` wakes is somebody else's code.
        if cancelled && let Some(ours) = self.ours.upgrade() {
            ours.cancel();
        }
    }
}

impl Wake for Link {
    fn wake(self: Arc<Self>) {
        self.theirs.cancel();
    }
}

/// The waker that is left with theirs. Ringing it says "look again", not "cancelled".
struct Bell(Weak<Link>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let Some(link) = self.0.upgrade() else { return };
        // tokio forgets whom else it had to wake when a waker panics: they would wait for ever.
        let looked = contain(move || link.look(&Waker::from(self)));
        discard(looked);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::cancel::Why;
    use crate::{Config, TaskManager};

    /// A waker that counts.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn theirs_cancels_the_token_made_of_it() {
        let theirs = CancellationToken::new();
        let ours = CancelToken::from(theirs.clone());
        assert!(!ours.is_cancelled());
        theirs.cancel();
        assert_eq!(ours.why(), Some(Why::Cancelled));
        ours.wait(); // returns at once
    }

    #[test]
    fn a_token_made_of_theirs_cancels_it() {
        let theirs = CancellationToken::new();
        let ours = CancelToken::from(theirs.clone());
        ours.cancel();
        assert!(theirs.is_cancelled());
    }

    #[test]
    fn ours_cancels_the_token_made_of_it() {
        let ours = CancelToken::new();
        let theirs = CancellationToken::from(ours.clone());
        assert!(!theirs.is_cancelled());
        ours.cancel();
        assert!(theirs.is_cancelled());
    }

    #[test]
    fn a_token_made_of_ours_cancels_it() {
        let ours = CancelToken::new();
        let theirs = CancellationToken::from(ours.clone());
        theirs.clone().cancel();
        assert_eq!(ours.why(), Some(Why::Cancelled));
    }

    #[test]
    fn a_cancelled_token_gives_a_cancelled_one() {
        let theirs = CancellationToken::new();
        theirs.cancel();
        assert_eq!(CancelToken::from(theirs).why(), Some(Why::Cancelled));

        let ours = CancelToken::new();
        ours.cancel();
        assert!(CancellationToken::from(ours).is_cancelled());
    }

    #[test]
    fn a_token_whose_time_is_up_cancels_theirs_and_keeps_its_reason() {
        let ours = CancelToken::new();
        let theirs = CancellationToken::from(ours.clone());
        ours.cancel_because(Why::TimedOut);
        assert!(theirs.is_cancelled());
        assert_eq!(ours.why(), Some(Why::TimedOut));
    }

    #[test]
    fn each_waiter_is_woken_once_when_both_are_cancelled() {
        let theirs = CancellationToken::new();
        let ours = CancelToken::from(theirs.clone());
        let (count, their_count) = (Arc::new(Count::default()), Arc::new(Count::default()));
        ours.on_cancel(Waker::from(count.clone()));
        let mut cancelled = Box::pin(theirs.clone().cancelled_owned());
        let waker = Waker::from(their_count.clone());
        assert!(cancelled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        ours.cancel();
        theirs.cancel();
        ours.cancel();
        assert_eq!((count.get(), their_count.get()), (1, 1));
    }

    #[test]
    fn a_parent_cancels_the_token_made_of_its_child() {
        let parent = CancellationToken::new();
        let ours = CancelToken::from(parent.child_token()); // the link alone keeps the child
        parent.cancel();
        assert_eq!(ours.why(), Some(Why::Cancelled));
    }

    #[test]
    fn a_token_made_of_a_child_leaves_the_parent_alone() {
        let parent = CancellationToken::new();
        let child = parent.child_token();
        let ours = CancelToken::from(child.clone());
        let grandchild = child.child_token();
        drop(child);
        ours.cancel();
        assert!(grandchild.is_cancelled());
        assert!(!parent.is_cancelled());
    }

    #[test]
    fn a_round_trip_gives_the_same_token_back() {
        let theirs = CancellationToken::new();
        assert!(CancellationToken::from(CancelToken::from(theirs.clone())) == theirs);
    }

    #[test]
    fn a_chain_of_conversions_is_one_switch_from_both_ends() {
        for first in [true, false] {
            let ours = CancelToken::new();
            let far = CancelToken::from(CancellationToken::from(ours.clone()));
            let (from, to) = if first { (&ours, &far) } else { (&far, &ours) };
            from.cancel();
            assert_eq!(to.why(), Some(Why::Cancelled));
        }
    }

    #[test]
    fn two_tokens_made_of_one_stay_connected_when_it_is_gone() {
        let ours = CancelToken::new();
        let (one, other) = (CancellationToken::from(ours.clone()), CancellationToken::from(ours));
        one.cancel();
        assert!(other.is_cancelled());
    }

    #[test]
    fn dropping_all_of_ours_frees_the_flag_and_cancels_nothing() {
        let theirs = CancellationToken::new();
        let made = CancelToken::from(theirs.clone());
        let of_theirs = made.downgrade();
        drop(made);
        assert!(of_theirs.upgrade().is_none());
        assert!(!theirs.is_cancelled());

        let ours = CancelToken::new();
        let of_ours = ours.downgrade();
        let theirs = CancellationToken::from(ours);
        assert!(of_ours.upgrade().is_none());
        assert!(!theirs.is_cancelled());
        theirs.cancel(); // its waker is gone too, or finds nobody
    }

    #[test]
    fn a_link_goes_with_the_flag_and_not_before() {
        let (ours, theirs) = (CancelToken::new(), CancellationToken::new());
        let link = Link::new(&ours, theirs.clone());
        let seen = Arc::downgrade(&link);
        link.fasten(&ours);
        assert_eq!(seen.strong_count(), 1);
        assert_eq!(seen.weak_count(), 2); // `seen`, and the bell that is left with theirs
        drop(ours);
        assert_eq!(seen.strong_count(), 0);
        drop(theirs);
    }

    #[test]
    fn dropping_all_of_theirs_cancels_nothing_and_keeps_nothing_from_being_freed() {
        let ours = CancelToken::new();
        drop(CancellationToken::from(ours.clone()));
        assert!(!ours.is_cancelled());
        let flag = ours.downgrade();
        drop(ours);
        assert!(flag.upgrade().is_none());
    }

    #[test]
    fn a_bell_that_rings_for_nothing_cancels_nothing() {
        let (ours, theirs) = (CancelToken::new(), CancellationToken::new());
        let link = Link::new(&ours, theirs.clone());
        let bell = Waker::from(Arc::new(Bell(Arc::downgrade(&link))));
        link.fasten(&ours);
        bell.wake();
        assert!(!ours.is_cancelled());
        theirs.cancel();
        assert!(ours.is_cancelled());
    }

    #[test]
    fn a_panicking_waker_of_ours_keeps_nobody_of_theirs_asleep() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("a waker's own");
            }
        }

        let theirs = CancellationToken::new();
        let ours = CancelToken::from(theirs.clone());
        ours.on_cancel(Waker::from(Arc::new(Panics)));
        let count = Arc::new(Count::default());
        let mut later = Box::pin(theirs.clone().cancelled_owned());
        let waker = Waker::from(count.clone());
        assert!(later.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        theirs.cancel();
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn a_waker_may_convert_and_cancel_while_it_is_woken() {
        struct Reenters(CancelToken, CancellationToken, AtomicBool);
        impl Wake for Reenters {
            fn wake(self: Arc<Self>) {
                self.0.cancel();
                self.1.cancel();
                let same = CancellationToken::from(self.0.clone()) == self.1;
                self.2.store(
                    same && CancelToken::from(self.1.clone()).is_cancelled(),
                    Ordering::SeqCst,
                );
            }
        }

        let theirs = CancellationToken::new();
        let ours = CancelToken::from(theirs.clone());
        let waker = Arc::new(Reenters(ours.clone(), theirs.clone(), AtomicBool::new(false)));
        ours.on_cancel(Waker::from(waker.clone()));
        theirs.cancel();
        assert!(waker.2.load(Ordering::SeqCst));
    }

    #[test]
    fn threads_that_cancel_from_both_ends_at_once_end_and_reach_everyone() {
        for _ in 0..1000 {
            let parent = CancellationToken::new();
            let theirs = parent.child_token();
            let ours = CancelToken::from(theirs.clone());
            let far = CancelToken::from(theirs.clone());
            let barrier = Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    ours.cancel();
                });
                scope.spawn(|| {
                    barrier.wait();
                    parent.cancel();
                });
                far.wait();
            });
            assert!(theirs.is_cancelled() && ours.is_cancelled());
        }
    }

    #[test]
    fn a_cancel_during_the_conversion_is_not_missed() {
        for _ in 0..1000 {
            let (ours, theirs) = (CancelToken::new(), CancellationToken::new());
            let barrier = Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    theirs.cancel();
                    ours.cancel();
                });
                barrier.wait();
                CancelToken::from(theirs.clone()).wait();
                while !CancellationToken::from(ours.clone()).is_cancelled() {
                    std::hint::spin_loop();
                }
            });
        }
    }

    #[test]
    fn a_token_with_a_twin_is_never_taken_for_one_that_nobody_keeps() {
        let ours = CancelToken::new();
        assert!(ours.held_by_at_most(1));
        let _theirs = CancellationToken::from(ours.clone());
        assert!(!ours.held_by_at_most(1));
    }

    #[test]
    fn a_token_kept_from_one_task_does_not_cancel_the_next() {
        let manager =
            TaskManager::new(Config::<(), String>::new(|| Ok(())).worker_count(1)).unwrap();
        let (keep, kept) = mpsc::channel();
        manager
            .queue_task_once(move |cx, ()| {
                keep.send(CancellationToken::from(cx.token())).unwrap();
                Ok(())
            })
            .unwrap();
        let theirs = kept.recv().unwrap();
        let cancelled = manager
            .queue_task_once(move |cx, ()| {
                theirs.cancel();
                Ok(cx.is_cancelled())
            })
            .unwrap();
        assert!(!cancelled);
        manager.stop().unwrap();
    }
}
