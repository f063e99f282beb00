//! Runs tasks on workers, each of which owns something expensive.
