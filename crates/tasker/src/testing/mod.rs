//! Fault injection, gates, recorded events and a clock to move by hand: what a program's own tests need to
//! see how its settings behave when things break (feature `testing`).
//!
//! A [`Kit`] stands in for the real resource and breaks on order. Put the settings of your program on its
//! configuration, break something, and look at what comes of it:
//!
//! ```
//! use tasker::testing::{Gate, Kit};
//! use tasker::{Config, TaskManager};
//!
//! /// The settings of the program, whatever its resources are.
//! fn settings<R, E>(config: Config<R, E>) -> Config<R, E> {
//!     config.worker_count(1).max_worker_count(3).max_retries(2)
//! }
//!
//! let kit = Kit::new();
//! let manager = TaskManager::new(settings(kit.config()))?;
//!
//! // Retry: two resources in a row break under the task, the third one serves it.
//! kit.fail_next_uses(2);
//! assert_eq!(manager.queue_task(|cx, resource| resource.work().map(|_| cx.attempt()))?, 3);
//!
//! // Burst: three tasks that block run at the same time.
//! let gate = Gate::new();
//! let burst = [(); 3].map(|()| {
//!     let gate = gate.clone();
//!     manager.task_once(move |_, _| Ok(gate.wait())).submit()
//! });
//! gate.await_arrivals(3);
//! gate.open();
//!
//! // Shutdown, while what is destroyed panics: nothing is lost.
//! kit.panic_next_destroys(2);
//! let report = manager.stop()?;
//! assert_eq!((report.accepted, report.completed), (4, 4));
//! kit.assert_all_destroyed_once();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | what | for |
//! |---|---|
//! | [`Kit`] | configurations whose resources fail, panic and hang on order, and are counted |
//! | [`Faulty`], [`Fault`] | its resource and its error; [`Kit::config_as`] takes an error of yours |
//! | [`Gate`] | tasks that are held where the test wants them |
//! | [`Recorder`] | events to look at and to wait for |
//! | [`PanicsOnDrop`] | a capture whose destructor panics |
//! | [`ManualClock`] | backoffs, deadlines and ticks without waiting; async ones have tokio's paused time |
//!
//! What blocks here for longer than [`LIMIT`] panics, and says what it waited for, so that a hang fails its
//! test.
//!
//! It is for tests: leave the feature out of what you ship.

mod faulty;
mod gate;
mod kit;
mod panics_on_drop;
mod recorder;
mod watched;

pub use crate::clock::ManualClock;
pub use faulty::{Fault, Faulty};
pub use gate::Gate;
pub use kit::{Counts, Kit};
pub use panics_on_drop::PanicsOnDrop;
pub use recorder::{Recorded, Recorder};
pub use watched::LIMIT;
