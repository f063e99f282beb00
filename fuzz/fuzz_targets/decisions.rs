//! Lanes, agenda and roster do what their plain models do, whatever is done to them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tasker::operations::{Operation, run};

fuzz_target!(|operations: Vec<Operation>| run(&operations));
