//! What the log of a machine's kernel complained of while pairs were raced on it, or histories played.

use std::fmt::Write;

use harness::kernel::log::KernelLog;
use harness::kernel::taint::Taint;
use scenarios::report::counted;
use schemars::JsonSchema;
use serde::Serialize;

/// Complaints that begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ComplaintDocument {
    /// Its first line, without the processor and the process that it was logged on.
    pub(in crate::cmd) like: String,
    pub(in crate::cmd) times: u64,
    /// What had just been done when the first of them was read.
    pub(in crate::cmd) during: String,
    /// The whole of the first.
    pub(in crate::cmd) text: String,
}

/// The log of the kernel that this runs on, where the machine is this program's own: on a host
/// it has what others do.
pub(in crate::cmd) struct Log {
    records: Option<KernelLog>,
    taint: Taint,
    complaints: Vec<ComplaintDocument>,
}

impl Log {
    /// From when the machine was booted.
    pub(in crate::cmd) fn open() -> Self {
        let records = KernelLog::open().ok();
        Self { records, taint: Taint::read().unwrap_or_default(), complaints: vec![] }
    }

    /// Reads what has come since the last time. Taint alone is told where the log is silent.
    pub(in crate::cmd) fn read(&mut self, during: &str) {
        let texts = self.records.as_mut().map(KernelLog::complaints).unwrap_or_default();
        let now = Taint::read().unwrap_or(self.taint);
        let gained = now.gained_since(std::mem::replace(&mut self.taint, now));
        let silent = texts.is_empty() && !gained.is_none();
        let by_itself = silent.then(|| format!("kernel.tainted has gained {gained}"));
        for text in texts.into_iter().chain(by_itself) {
            add(&mut self.complaints, during, text);
        }
    }

    /// All that was read.
    pub(in crate::cmd) fn complaints(self) -> Vec<ComplaintDocument> {
        self.complaints
    }
}

/// Complaints, as they are shown.
pub(in crate::cmd) fn words(complaints: &[ComplaintDocument]) -> String {
    let mut text = String::new();
    for ComplaintDocument { like, times, during, text: whole } in complaints {
        let times = counted(*times, "time");
        let _ = writeln!(text, "\nthe kernel's log complains, {times} since {during}: {like}");
        for line in whole.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

fn add(complaints: &mut Vec<ComplaintDocument>, during: &str, text: String) {
    let like = like(text.lines().next().unwrap_or_default());
    match complaints.iter_mut().find(|complaint| complaint.like == like) {
        Some(complaint) => complaint.times += 1,
        None => {
            complaints.push(ComplaintDocument { like, times: 1, during: during.to_owned(), text });
        }
    }
}

/// `WARNING: CPU: 1 PID: 7 at net/core/sock.c:1 f+0x1/0x2` is the same on any processor.
fn like(first_line: &str) -> String {
    let warned = first_line.strip_prefix("WARNING: CPU: ").and_then(|rest| rest.split_once(" at "));
    match warned {
        Some((_, place)) => format!("WARNING: at {place}"),
        None => first_line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_that_begin_alike_are_counted() {
        let mut complaints = vec![];
        for (during, text) in [
            ("close/ack v4", "WARNING: CPU: 0 PID: 7 at net/a.c:1 f+0x1/0x2\nCall Trace:"),
            ("close/ack v4", "BUG: KCSAN: data-race in f / g"),
            ("close/syn v6", "WARNING: CPU: 1 PID: 9 at net/a.c:1 f+0x1/0x2"),
        ] {
            add(&mut complaints, during, text.to_owned());
        }
        let told: Vec<_> =
            complaints.iter().map(|one| (one.like.as_str(), one.times, &*one.during)).collect();
        let expected = [
            ("WARNING: at net/a.c:1 f+0x1/0x2", 2, "close/ack v4"),
            ("BUG: KCSAN: data-race in f / g", 1, "close/ack v4"),
        ];
        assert_eq!(told, expected);
        assert!(complaints[0].text.ends_with("Call Trace:"));
    }
}
