//! The kernel's log: what it complains of while a case runs.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use crate::error::{Context, Result};

/// Beginnings of what a healthy kernel never logs, as `include/asm-generic/bug.h`,
/// `lib/bug.c` and the architectures' fault handlers write it.
const COMPLAINTS: &[&str] = &[
    "WARNING: ",
    "BUG: ",
    "kernel BUG at ",
    "Oops: ",
    "Oops[",
    "general protection fault",
    "stack segment: ",
    "divide error: ",
    "invalid opcode: ",
    "int3: ",
    "Unable to handle kernel ",
    // arm64.
    "Internal error: ",
    "Insufficient stack space to handle exception!",
    // RISC-V and LoongArch.
    "Oops - ",
    // s390, which has a name for each interruption of a program.
    "addressing exception: ",
    "data exception: ",
    "execute exception: ",
    "fixpoint divide exception: ",
    "illegal operation: ",
    "operand exception: ",
    "privileged operation: ",
    "protection exception: ",
    "special operation exception: ",
    "specification exception: ",
    "Kernel stack overflow",
    "refcount_t: ",
    "list_add corruption",
    "list_del corruption",
    "INFO: task ",
    "INFO: rcu",
    "rcu: INFO: ",
    "watchdog: BUG: ",
    "UBSAN: ",
    "KASAN: ",
    "KFENCE: ",
    "kmemleak: ",
    "Out of memory: ",
    "Kernel panic - not syncing",
];

/// How many lines of a complaint are kept: its call trace is among them.
const KEPT_LINES: usize = 40;

/// Whether a line of the log is a complaint, and so what follows it.
pub fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|beginning| line.starts_with(beginning))
}

/// Reads `/dev/kmsg` from where it was left.
pub struct KernelLog {
    records: File,
}

impl KernelLog {
    /// Opens the log at its beginning, so that what was said while booting is read first.
    ///
    /// # Errors
    /// The log may not be read (`kernel.dmesg_restrict`), or there is none.
    pub fn open() -> Result<Self> {
        let records = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .call(|| "open(/dev/kmsg, O_RDONLY | O_NONBLOCK)".into())?;
        Ok(Self { records })
    }

    /// The complaints that were logged since it was last asked, each with the lines after
    /// it.
    pub fn complaints(&mut self) -> Vec<String> {
        gather(self.lines().iter().map(String::as_str))
    }

    fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.records.read(&mut record) {
                Ok(0) => return lines,
                Ok(len) => lines.extend(message(&String::from_utf8_lossy(&record[..len]))),
                // The record was overwritten before it was read; the next ones are there.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => return lines,
            }
        }
    }
}

/// The text of a record `priority,sequence,time,flags;text`, without the dictionary that
/// may follow it.
fn message(record: &str) -> Option<String> {
    let (_, rest) = record.split_once(';')?;
    rest.lines().next().map(str::to_owned)
}

/// What sanitizers draw before and after a report.
fn is_rule(line: &str) -> bool {
    !line.is_empty() && line.chars().all(|letter| letter == '=')
}

/// Joins each complaint with what follows it.
fn gather<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<String> {
    let mut complaints: Vec<Vec<&str>> = Vec::new();
    let mut over = true;
    for line in lines {
        if is_complaint(line) && (over || complaints.is_empty()) {
            complaints.push(vec![line]);
            over = false;
        } else if let (false, Some(complaint)) = (over, complaints.last_mut()) {
            let is_end = line.starts_with("---[ end trace") || is_rule(line);
            over = is_end || complaint.len() == KEPT_LINES;
            complaint.push(line);
        }
    }
    complaints.iter().map(|lines| lines.join("\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_ends_with_its_trace() {
        let log = [
            "Linux version 7.2.13",
            "WARNING: CPU: 0 PID: 12 at net/mptcp/token.c:204 mptcp_token_new+0x1/0x2",
            "Modules linked in:",
            "Call Trace:",
            "---[ end trace 0000000000000000 ]---",
            "TCP: request_sock_TCP: Possible SYN flooding on port 80.",
            "BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "Oops: 0000 [#1]",
        ];
        let complaints = gather(log.into_iter());
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].starts_with("WARNING: ") && complaints[0].contains("Call Trace:"));
        assert!(!complaints[0].contains("SYN flooding"));
        assert!(complaints[1].ends_with("Oops: 0000 [#1]"), "the oops belongs to its cause");
    }

    #[test]
    fn a_report_of_a_sanitizer_ends_with_its_rule() {
        let rule = "==================================================================";
        let log = [
            rule,
            "BUG: KCSAN: data-race in tcp_rcv_state_process / tcp_poll",
            "write to 0xffff888003a45f12 of 1 bytes by task 91 on cpu 1:",
            rule,
            rule,
            "BUG: KCSAN: data-race in inet_csk_accept / inet_csk_reqsk_queue_add",
            rule,
        ];
        let complaints = gather(log.into_iter());
        let firsts: Vec<_> = complaints.iter().filter_map(|one| one.lines().next()).collect();
        assert_eq!(firsts, [log[1], log[5]]);
    }

    /// The first lines of oopses, as each architecture's `die()` writes them.
    #[test]
    fn every_architecture_has_its_own_words() {
        for line in [
            "Oops: 0002 [#1] PREEMPT SMP NOPTI",
            "Oops: general protection fault, probably for non-canonical address 0x8: 0000 [#1]",
            "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
            "Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP",
            "Internal error: Oops - BUG: 00000000f2000800 [#1] SMP",
            "Unable to handle kernel pointer dereference in virtual kernel address space",
            "illegal operation: 0001 ilc:1 [#1] SMP",
            "specification exception: 0006 ilc:3 [#1] SMP",
            "addressing exception: 0005 ilc:2 [#1] SMP",
            "protection exception: 0004 ilc:2 [#1] SMP",
            "Oops - illegal instruction [#1]",
        ] {
            assert!(is_complaint(line), "{line}");
        }
    }

    #[test]
    fn a_record_is_its_text() {
        let record = "4,1234,5678,-;WARNING: CPU: 0\n SUBSYSTEM=net\n";
        assert_eq!(message(record).as_deref(), Some("WARNING: CPU: 0"));
    }

    #[test]
    fn what_every_boot_says_is_no_complaint() {
        for line in [
            "Spectre V2 : Mitigation: Retpolines",
            "TCP: request_sock_TCP: Possible SYN flooding on port [::]:80. Sending cookies.",
            "rcu: Hierarchical RCU implementation.",
            "User process fault: interruption code 003b ilc:3 in init[1000000+2000]",
        ] {
            assert!(!is_complaint(line), "{line}");
        }
    }
}
