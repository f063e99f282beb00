//! A bar on stderr that tells what is being measured, if that is a terminal.

use std::cell::RefCell;

use indicatif::{ProgressBar, ProgressStyle};

/// Drawn between measurements only, by the thread that measures: it never takes part in one.
#[derive(Debug, Default)]
pub(crate) struct Progress(RefCell<Option<ProgressBar>>);

impl Progress {
    /// The next workload, and how many measurements it consists of.
    pub(crate) fn begin(&self, workload: &str, steps: usize) {
        self.end();
        let bar = ProgressBar::new(steps as u64); // hidden where stderr is no terminal
        let template = "{prefix} {bar:30} {pos}/{len} {msg}";
        let style = ProgressStyle::with_template(template).expect("the template is sound");
        bar.set_style(style);
        bar.set_prefix(workload.to_owned());
        *self.0.borrow_mut() = Some(bar);
    }

    /// One measurement more is about to be made, of this system.
    pub(crate) fn step(&self, system: &str) {
        if let Some(bar) = &*self.0.borrow() {
            bar.inc(1);
            bar.set_message(system.to_owned());
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = self.0.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}
