//! An error that can hold up whoever drops it.

use super::Gate;

/// An error whose drop waits at a gate, if it has one: it stops a thread of the manager where nothing
/// else could.
#[derive(Debug)]
pub(crate) struct Reluctant(pub(crate) Option<Gate>);

impl Drop for Reluctant {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.wait();
        }
    }
}

impl std::fmt::Display for Reluctant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an error that is hard to drop")
    }
}
