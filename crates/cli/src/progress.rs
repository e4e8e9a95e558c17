//! The SDK's progress as a bar on standard error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use heirloom::{Phase, Progress, Tally};
use heirloom_api::{GcPhase, GcProgress};
use indicatif::{ProgressBar, ProgressStyle};

use crate::printer::Printer;
use crate::text;

/// Draws one bar, or a spinner while totals are not known. Clears itself when dropped.
pub(crate) struct Bar {
    bar: ProgressBar,
    phase: Mutex<Option<(Phase, bool)>>,
}

impl Bar {
    /// A bar, unless progress is not to be shown.
    pub(crate) fn for_terminal(printer: &Printer) -> Option<Arc<Self>> {
        printer.shows_progress().then(|| {
            let bar = ProgressBar::no_length();
            bar.enable_steady_tick(Duration::from_millis(120));
            Arc::new(Self { bar, phase: Mutex::new(None) })
        })
    }

    /// Takes the bar off the terminal, before anything else is printed.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows how a collection goes on.
    pub(crate) fn gc(&self, at: GcProgress) {
        let (doing, one, many) = match at.phase {
            GcPhase::Purge => ("purging", "version", "versions"),
            GcPhase::Mark => ("marking", "version", "versions"),
            GcPhase::Rewrite => ("rewriting", "group of packs", "groups of packs"),
            GcPhase::Remove => ("removing", "object", "objects"),
        };
        self.bar.set_message(doing);
        let done = match at.total {
            Some(total) => {
                format!("{} of {}", text::number(at.done), text::count(total, one, many))
            }
            None => text::count(at.done, one, many),
        };
        self.bar.set_style(
            ProgressStyle::with_template("{msg:9} {spinner} {prefix}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        self.bar.set_prefix(done);
    }

    fn enter(&self, phase: Phase, measured: bool) {
        let template = if measured {
            "{msg:9} {wide_bar} {decimal_bytes:>9} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta}"
        } else {
            "{msg:9} {spinner} {prefix}"
        };
        self.bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        self.bar.set_message(match phase {
            Phase::Scan => "scanning",
            Phase::Send => "sending",
            Phase::Commit => "committing",
            Phase::Write => "writing",
            Phase::Fetch => "fetching",
            Phase::Copy => "copying",
            Phase::Check => "checking",
            _ => "working",
        });
    }
}

impl Progress for Bar {
    fn report(&self, tally: &Tally) {
        let measured = tally.total_bytes.is_some_and(|total| total > 0);
        let mut current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != Some((tally.phase, measured)) {
            *current = Some((tally.phase, measured));
            self.enter(tally.phase, measured);
        }
        match tally.total_bytes {
            Some(total) if measured => {
                self.bar.set_length(total);
                self.bar.set_position(tally.bytes);
            }
            _ => self.bar.set_prefix(crate::text::count(tally.files, "file", "files")),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
