//! Async managers (feature `tokio`): the same queue, with futures for callers and slots for workers.
//! `README.md` beside this file has what differs.

mod attempt;
mod bell;
mod build;
mod config;
mod guarded;
mod hold;
mod hooks;
mod manager;
mod shift;
mod slots;
mod task;
mod token;
mod upkeep;
mod visit;
mod work;
mod worker;

pub use self::config::AsyncConfig;
pub use manager::AsyncTaskManager;
pub use task::AsyncTask;

use crate::engine::Engine;
use slots::Slots;

/// What every room of one async manager shares.
pub(crate) type Core<R, E> = Engine<R, E, Slots<R, E>>;
