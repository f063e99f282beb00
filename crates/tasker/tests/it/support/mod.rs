//! What the tests share: gates instead of sleeps, resources that fail on order, an observer that remembers.
//!
//! Nothing in here waits for ever: whatever takes longer than [`LIMIT`] fails the test.

mod broken;
mod busy;
mod crew;
mod doors;
mod gate;
mod kit;
mod left_behind;
mod log;
mod puppet;
mod recorder;
mod reluctant;
mod report;
mod time;
mod watch;
mod within;

pub(crate) use broken::Broken;
pub(crate) use busy::Busy;
pub(crate) use crew::{await_rest, end, id_of, step, submit, wait_all, waiting};
pub(crate) use doors::{Door, Manager, block_on};
pub(crate) use gate::Gate;
pub(crate) use kit::{Fault, Kit, Res};
#[cfg(target_os = "linux")]
pub(crate) use left_behind::threads_of;
pub(crate) use left_behind::{assert_gone, unique_name};
pub(crate) use log::Log;
pub(crate) use puppet::Puppet;
pub(crate) use recorder::{Recorder, What, assert_only, gone, gone_from_pool};
pub(crate) use reluctant::Reluctant;
pub(crate) use report::assert_complete;
pub(crate) use time::pass;
pub(crate) use watch::{assert_adds_up, begin_kill, begin_stop, eventually, occupy, report_of};
pub(crate) use within::{LIMIT, on_every_door, on_every_manager, run_named, within};
