//! The memory that every lab uses.
//!
//! A lab is a fork: what it writes to is copied, page by page, each at its first write, and its
//! code is mapped piece by piece. Each is a fault, which costs as much as a system call; in
//! User-Mode Linux, a fault is several calls of the host. One call has the kernel do them all.

use std::fs;
use std::ptr;

use nix::errno::Errno;

/// Ranges of addresses that a fork of this process uses.
#[derive(Debug, Clone, Default)]
pub(super) struct UsedMemory {
    written: Vec<Range>,
    /// Only where it is worth it: a lab uses a sixth of the program, and to map all of it takes
    /// longer than the faults where these are cheap.
    read: Vec<Range>,
}

/// A mapping, by the addresses of its first byte and of the one after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: usize,
    end: usize,
}

impl UsedMemory {
    /// The variables of this program, the heap with what is free of it, and the end of the stack.
    pub(super) fn of_this_process() -> Self {
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let program = fs::read_link("/proc/self/exe").unwrap_or_default();
        let here = ptr::from_ref(&program).addr();
        let program = program.to_string_lossy();
        let read = if is_user_mode_linux() { read(&maps, &program) } else { vec![] };
        Self { written: written(&maps, &program, here), read }
    }

    /// Makes the pages that are written to this process's own, and maps the others. Where the
    /// kernel cannot (before Linux 5.14), or has no memory for it, each page waits for its first
    /// use.
    pub(super) fn populate(&self) {
        self.populate_written();
        let _ = populate(&self.read, libc::MADV_POPULATE_READ);
    }

    /// As [`UsedMemory::populate`], of what is written to alone: what a fork takes away from the
    /// process that was forked.
    pub(super) fn populate_written(&self) {
        let _ = populate(&self.written, libc::MADV_POPULATE_WRITE);
    }
}

fn populate(ranges: &[Range], advice: libc::c_int) -> nix::Result<()> {
    ranges.iter().try_for_each(|Range { start, end }| {
        let address: *mut libc::c_void = ptr::with_exposed_provenance_mut(*start);
        // SAFETY: no byte of the memory is changed by that.
        let populated = unsafe { libc::madvise(address, end - start, advice) };
        Errno::result(populated).map(drop)
    })
}

/// Whether this kernel is a program on another one.
fn is_user_mode_linux() -> bool {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    processors.lines().any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            (name.trim(), value.trim()) == ("vendor_id", "User Mode Linux")
        })
    })
}

/// How much of the stack below `here` a lab uses as a rule, in bytes.
const STACK: usize = 32 * 1024;

/// The smallest page that Linux has, in bytes; larger ones are multiples of it.
const PAGE: usize = 4096;

/// What `program` writes to of the mappings in `/proc/self/maps`. An address of the stack is
/// `here`.
fn written(maps: &str, program: &str, here: usize) -> Vec<Range> {
    let mut ranges: Vec<Range> = vec![];
    // Variables that begin as zeros have no name, and come after the others.
    let mut variables_end = None;
    for Mapping { range, is_written, name, .. } in maps.lines().filter_map(Mapping::parse) {
        let is_variables = name == program || name.is_empty() && variables_end == Some(range.start);
        variables_end = is_variables.then_some(range.end);
        if is_written && (is_variables || name == "[heap]") {
            ranges.push(range);
        } else if is_written && (range.start..range.end).contains(&here) {
            let used = here.saturating_sub(STACK) / PAGE * PAGE;
            ranges.push(Range { start: used.max(range.start), ..range });
        }
    }
    ranges
}

/// What `program` only reads, its code above all, of the mappings in `/proc/self/maps`.
fn read(maps: &str, program: &str) -> Vec<Range> {
    let mappings = maps.lines().filter_map(Mapping::parse);
    let read = mappings.filter(|mapping| mapping.name == program && mapping.is_read);
    read.map(|mapping| mapping.range).collect()
}

/// A line of `/proc/self/maps`.
struct Mapping<'m> {
    range: Range,
    /// It is private, and can be written to.
    is_written: bool,
    /// It can only be read, or executed.
    is_read: bool,
    name: &'m str,
}

impl<'m> Mapping<'m> {
    fn parse(line: &'m str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        // Where what can be read can be executed, there is an `x` between them.
        let permissions = words.next()?;
        let is_written = permissions.starts_with("rw") && permissions.ends_with('p');
        let is_read = permissions.starts_with("r-");
        let name = words.nth(3).unwrap_or_default().trim_start();
        let address = |text| usize::from_str_radix(text, 16).ok();
        let range = Range { start: address(start)?, end: address(end)? };
        Some(Self { range, is_written, is_read, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
00200000-005c4000 r--p 00000000 fe:00 77                  /a b/program
005c4000-01198000 r-xp 003c3000 fe:00 77                  /a b/program
011a1000-011a5000 rw-p 00f9e000 fe:00 77                  /a b/program
011a5000-011ab000 rwxp 00000000 00:00 0 
15e0a000-15e6c000 rwxp 00000000 00:00 0                   [heap]
7f0000000000-7f0000200000 rw-p 00000000 00:00 0 
7f0000300000-7f0000301000 rw-s 00000000 00:01 5           /a b/program
bffd0000-bfff1000 rw-p 00000000 00:00 0           [stack]
";

    #[test]
    fn variables_the_heap_and_the_end_of_the_stack_are_written_to_and_code_is_read() {
        let range = |start, end| Range { start, end };
        let variables = [range(0x11a_1000, 0x11a_5000), range(0x11a_5000, 0x11a_b000)].into_iter();
        let all: Vec<Range> = variables
            .chain([range(0x15e0_a000, 0x15e6_c000), range(0xbffe_7000, 0xbfff_1000)])
            .collect();
        assert_eq!(written(MAPS, "/a b/program", 0xbffe_f123), all);
        let code = [range(0x20_0000, 0x5c_4000), range(0x5c_4000, 0x119_8000)];
        assert_eq!(read(MAPS, "/a b/program"), code);
        assert_eq!(written("", "/a b/program", 0), []);
        assert_eq!(written("garbage\n0-1\n-\n", "", 0), []);
    }

    #[test]
    fn what_is_written_to_keeps_what_it_has() {
        let memory = UsedMemory::of_this_process();
        let (text, here) = ("on the heap".to_owned(), [7_u8; 64]);
        memory.populate();
        assert_eq!((text.as_str(), here), ("on the heap", [7; 64]));
        let covers = |address: usize| {
            memory.written.iter().any(|range| (range.start..range.end).contains(&address))
        };
        static VARIABLE: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(1);
        assert!(covers((&raw const VARIABLE).addr()), "{memory:?}");
    }
}
