//! The texts of a server's file that become arguments, variables, paths and numbers.

use std::collections::BTreeSet;

use super::ServerFile;
use super::placeholders::{ALWAYS, PROCESS, RUNNING, own};
use super::value::{ChildCount, Count, StartAgain, Words};

/// A text in which every placeholder must be known.
pub(super) struct Text<'f> {
    /// Where it is.
    pub(super) key: String,
    /// What is there.
    pub(super) text: &'f str,
    /// Placeholders that are known there besides those that always are.
    more: &'static [&'static str],
}

impl Text<'_> {
    /// The placeholders that can be used in it.
    pub(super) fn known<'a>(&self, file: &'a ServerFile) -> BTreeSet<&'a str> {
        let all = ALWAYS.into_iter().chain(self.more.iter().copied()).chain(own(file));
        // Without names of a program there is none.
        all.filter(|name| *name != "program" || !file.program.is_empty()).collect()
    }
}

/// All of a file.
pub(super) fn texts(file: &ServerFile) -> Vec<Text<'_>> {
    let (start, ready, reload) = (&file.start, &file.ready, &file.reload);
    let again = match &reload.start_again {
        Some(StartAgain::By(command)) => Some(command),
        Some(StartAgain::AsBefore(_)) | None => None,
    };
    let restore = reload.restore.as_ref().and_then(|restore| restore.command.as_ref());
    let children = ready.children.as_ref().map(ChildCount::count);
    let all: [(&str, Vec<&str>, &'static [&'static str]); 15] = [
        ("start.command", words(Some(&start.command)), &["generation"]),
        ("start.environment", start.environment.values().map(String::as_str).collect(), &[]),
        ("start.directory", one(start.directory.as_ref()), &[]),
        ("start.processes", count(start.processes.as_ref()), &[]),
        ("start.pid-file", one(start.pid_file.as_ref()), &[]),
        ("ready.listeners", count(ready.listeners.as_ref()), &[]),
        ("ready.children", count(children), &[]),
        ("ready.threads", count(ready.threads.as_ref()), &[]),
        ("ready.file", one(ready.file.as_ref()), &PROCESS),
        ("ready.output", one(ready.output.as_ref()), &[]),
        ("reload.output", one(reload.output.as_ref()), &[]),
        ("reload.command", words(reload.command.as_ref()), &RUNNING),
        ("reload.start-again", words(again), &RUNNING),
        ("reload.restore.command", words(restore), &RUNNING),
        ("stop.command", words(file.stop.command.as_ref()), &RUNNING),
    ];
    let texts = all.into_iter().flat_map(|(key, texts, more)| {
        texts.into_iter().map(move |text| Text { key: key.to_owned(), text, more })
    });
    texts.collect()
}

/// The words of what may be missing.
pub(super) fn words(of: Option<&Words>) -> Vec<&str> {
    of.map(Words::as_slice).unwrap_or_default().iter().map(String::as_str).collect()
}

fn one(of: Option<&String>) -> Vec<&str> {
    of.map(String::as_str).into_iter().collect()
}

fn count(of: Option<&Count>) -> Vec<&str> {
    of.map(Count::template).into_iter().collect()
}
