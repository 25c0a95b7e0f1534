//! What a console printed, made readable.

use harness::kernel::log::is_complaint;

/// How much of a console is shown when something went wrong.
const SHOWN_LINES: usize = 16;

/// How far back the beginning of a panic is looked for: its traces may be long.
const TRACE_LINES: usize = 120;

/// A console's text without carriage returns and escape sequences, which firmware and
/// kernels print.
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let raw = String::from_utf8_lossy(bytes);
    let mut characters = raw.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => {
                if characters.next_if_eq(&'[').is_some() {
                    while characters.next_if(|c| !c.is_ascii_alphabetic()).is_some() {}
                }
                characters.next();
            }
            '\n' | '\t' => text.push(character),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

/// The lines that show how a machine ended: from the kernel's complaint on if there is one
/// at the end, else the last ones. Lines without content are left out.
pub fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = &lines[lines.len().saturating_sub(TRACE_LINES)..];
    let complaint = end.iter().position(|line| is_complaint(without_time(line)));
    let from = complaint.unwrap_or(end.len().saturating_sub(SHOWN_LINES));
    let shown = &end[from..];
    shown[..shown.len().min(SHOWN_LINES)].join("\n")
}

/// A line of the console without the time that printk may put in front.
fn without_time(line: &str) -> &str {
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((time, message)) if time.trim().parse::<f64>().is_ok() => message,
        _ => line,
    }
}

/// What the kernel's own messages on a console say, each its last line about the matter
/// without its time. Nothing else decides by the wording of a kernel's messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelReport {
    /// The kernel panicked.
    pub panic: Option<String>,
    /// There was no memory left.
    pub out_of_memory: Option<String>,
    /// The initial RAM file system could not be unpacked whole. The kernel goes on with what
    /// there is: files cut short, and others missing.
    pub not_unpacked: Option<String>,
}

const PANIC: &[&str] = &["Kernel panic - not syncing: "];
const NO_MEMORY: &[&str] =
    &["System is deadlocked on memory", "Out of memory and no killable", "Out of memory: "];
const NOT_UNPACKED: &[&str] = &["Initramfs unpacking failed"];

impl KernelReport {
    /// Reads a console's text.
    pub fn of(text: &str) -> Self {
        let line = |wordings: &[&str]| wordings.iter().find_map(|words| line_with(text, words));
        Self {
            panic: line(PANIC),
            out_of_memory: line(NO_MEMORY),
            not_unpacked: line(NOT_UNPACKED),
        }
    }
}

/// The last line with these words, without its time.
fn line_with(text: &str, words: &str) -> Option<String> {
    text.lines().map(without_time).rfind(|line| line.contains(words)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn escapes_and_returns_are_gone() {
        assert_eq!(text(b"\x1b[2J\x1b[1;31mBooting\x1b[0m\r\nLinux\x00\r\n"), "Booting\nLinux\n");
        assert_eq!(text(b"cut \x1b["), "cut ");
    }

    #[test]
    fn the_end_is_what_is_shown() {
        let lines: String = (0..100).map(|n| format!("{n}\n\n")).collect();
        assert!(last_lines(&lines).starts_with("84\n85\n"));
        assert_eq!(last_lines("one\n"), "one");
    }

    #[test]
    fn a_panic_is_shown_from_its_beginning() {
        let trace: String = (0..60).map(|n| format!("[    2.2]  ? f{n}+0x1/0x2\n")).collect();
        let log = format!("Linux version 7\n[    2.1] BUG: kernel NULL pointer\n{trace}");
        let shown = last_lines(&log);
        assert!(shown.starts_with("[    2.1] BUG: kernel NULL pointer\n"), "{shown}");
        assert_eq!(shown.lines().count(), SHOWN_LINES);
    }

    #[test]
    fn the_kernel_s_messages_are_recognised() {
        let log = "[    1.0] Initramfs unpacking failed: write error\n\
                   [    2.0] Out of memory: Killed process 1 (a)\n\
                   [    3.0] Kernel panic - not syncing: first\n\
                   [    4.0] Kernel panic - not syncing: System is deadlocked on memory\n";
        let panic = "Kernel panic - not syncing: System is deadlocked on memory";
        let report = KernelReport {
            panic: Some(panic.into()),
            out_of_memory: Some(panic.into()),
            not_unpacked: Some("Initramfs unpacking failed: write error".into()),
        };
        assert_eq!(KernelReport::of(log), report);
        assert_eq!(KernelReport::of("Linux version 7\n"), KernelReport::default());
    }

    #[rstest]
    #[case("[    1.234567] Kernel panic", "Kernel panic")]
    #[case("Kernel panic", "Kernel panic")]
    #[case("[drm] something", "[drm] something")]
    fn a_line_is_what_it_says(#[case] line: &str, #[case] message: &str) {
        assert_eq!(without_time(line), message);
    }
}
