//! What is going on, on a terminal, while it goes on.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line at the bottom of the terminal; nothing where there is no terminal.
pub struct Progress {
    bar: ProgressBar,
    running: BTreeMap<String, usize>,
}

impl Progress {
    /// Shown on stderr if that is a terminal.
    pub fn on_stderr() -> Self {
        Self::to(ProgressDrawTarget::stderr_with_hz(10))
    }

    /// Never shown.
    #[cfg(test)]
    pub fn hidden() -> Self {
        Self::to(ProgressDrawTarget::hidden())
    }

    fn to(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{pos} of {len}  {wide_msg}");
        bar.set_style(style.expect("a fixed template"));
        Self { bar, running: BTreeMap::new() }
    }

    /// How many runs there will be.
    pub fn begin(&self, runs: usize) {
        self.bar.set_length(runs as u64);
    }

    /// A run was started.
    pub fn started(&mut self, id: &str) {
        *self.running.entry(id.to_owned()).or_default() += 1;
        self.show();
    }

    /// A run is finished.
    pub fn finished(&mut self, id: &str) {
        if let Some(count) = self.running.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(id);
            }
        }
        self.bar.inc(1);
        self.show();
    }

    /// Prints something else meanwhile.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self) {
        let ids: Vec<&str> = self.running.keys().map(String::as_str).collect();
        self.bar.set_message(ids.join(" "));
    }
}
