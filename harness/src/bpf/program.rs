//! Programs in the kernel, and the groups that they are attached to.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::ids::kernel_name;
use super::instruction::Instruction;
use super::statement::{PASS, Statement, maps, shown, steps, translate};
use super::syscall;
use crate::error::{Error, Result, errno_name};
use crate::net::sockopt;
use crate::refusal::Refusal;
use crate::socket::{Recorded, set_recorded};
use crate::trace::{Act, GroupProgram};

/// When a program is called (`expected_attach_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// For segments that look for a listener (`BPF_SK_REUSEPORT_SELECT`).
    Select,
    /// For connections that look for another listener too
    /// (`BPF_SK_REUSEPORT_SELECT_OR_MIGRATE`).
    SelectOrMigrate,
    /// A number, whatever it means.
    Number(u32),
}

impl Attach {
    fn number(self) -> u32 {
        match self {
            Self::Select => 39,
            Self::SelectOrMigrate => 40,
            Self::Number(number) => number,
        }
    }
}

/// A program that was loaded. It exists as long as the value, or a group that has it.
pub struct Program {
    descriptor: OwnedFd,
    shown: String,
    decides: GroupProgram,
}

/// The size of the log of the verifier, in bytes.
const LOG_BYTES: usize = 64 * 1024;

/// How many of its lines are shown: its end says what is wrong.
const LOG_LINES: usize = 6;

impl Program {
    /// Loads a program.
    ///
    /// # Errors
    /// What the kernel says of it, with the last lines of the verifier's log. A program that the
    /// verifier rejects is the kernel's error, and everything else the laboratory's.
    pub fn load(attach: Attach, statements: &[Statement<'_>]) -> Result<Self> {
        let instructions = translate(statements);
        let shown = shown(statements);
        let migrates = attach == Attach::SelectOrMigrate;
        let decides = GroupProgram {
            migrates,
            steps: steps(statements),
            attach_type: attach.number(),
            instructions: instructions.iter().map(Instruction::hexadecimal).collect(),
            maps: maps(statements),
        };
        let name = kernel_name()?;
        let number = attach.number();
        match syscall::load(&instructions, number, name, &mut []) {
            Ok(descriptor) => Ok(Self { descriptor, shown, decides }),
            Err(source) => {
                let mut log = vec![0; LOG_BYTES];
                let _ = syscall::load(&instructions, number, name, &mut log);
                let said = end_of(&log);
                let call = format!("bpf(BPF_PROG_LOAD, {attach:?}, `{shown}`){said}");
                Err(match source.raw_os_error() {
                    Some(libc::EACCES | libc::EINVAL) => Error::Tested { call, source },
                    _ => Error::Call { call, source },
                })
            }
        }
    }

    /// `ok`, or the errno with which a program is refused.
    ///
    /// # Errors
    /// The program's name cannot be made.
    pub fn try_load(attach: Attach, statements: &[Statement<'_>]) -> Result<String> {
        let answer = Self::answer(attach, statements)?;
        Ok(answer.map_or_else(|e| errno_name(&e), |()| "ok".to_owned()))
    }

    /// The kernel's answer to a program, which is not kept.
    fn answer(attach: Attach, statements: &[Statement<'_>]) -> Result<io::Result<()>> {
        let name = kernel_name()?;
        Ok(syscall::load(&translate(statements), attach.number(), name, &mut []).map(drop))
    }

    /// Attaches it to the group of `socket`, instead of what is there
    /// (`SO_ATTACH_REUSEPORT_EBPF`).
    pub fn attach(&self, socket: &impl Recorded) -> io::Result<()> {
        let (listener, program) = (socket.actor().to_string(), self.shown.clone());
        let decides = Some(self.decides.clone());
        socket
            .recorder()
            .act(|| Act::Attach { listener, program, decides }, || self.attach_unrecorded(socket))
    }

    /// As [`Program::attach`], to the group of a socket that is not a lab's, without a record.
    pub fn attach_unrecorded(&self, socket: impl AsFd) -> io::Result<()> {
        let descriptor = self.descriptor.as_raw_fd();
        sockopt::set_number(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF, descriptor)
    }

    /// The program as it was written.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

fn end_of(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log.split(|byte| *byte == 0).next().unwrap_or_default());
    let lines: Vec<&str> = text.lines().collect();
    match &lines[lines.len().saturating_sub(LOG_LINES)..] {
        [] => String::new(),
        end => format!("; the verifier: {}", end.join(" / ")),
    }
}

/// Detaches the program of the group of `socket` (`SO_DETACH_REUSEPORT_BPF`).
pub fn detach(socket: &impl Recorded) -> io::Result<()> {
    let act = || Act::SelectByHash { listener: socket.actor().to_string() };
    socket.recorder().act(act, || sockopt::select_by_hash(socket))
}

/// Attaches a classic program that always gives `index` (`SO_ATTACH_REUSEPORT_CBPF`).
pub fn select_index(socket: &impl Recorded, index: u32) -> io::Result<()> {
    let act = || Act::SelectIndex { listener: socket.actor().to_string(), index };
    socket.recorder().act(act, || sockopt::select_index(socket, index))
}

/// Sets `SO_LOCK_FILTER`: from now on nothing may be attached to `socket`.
pub fn lock_filters(socket: &impl Recorded) -> io::Result<()> {
    set_recorded(socket, "SO_LOCK_FILTER", 1, |socket| {
        sockopt::set_number(socket, libc::SOL_SOCKET, libc::SO_LOCK_FILTER, 1)
    })
}

/// Whether a program can be loaded here. That it can be says nothing about migration: kernels
/// from before it take any attach type.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn probe() -> Result<(), Refusal> {
    Ok(Program::answer(Attach::SelectOrMigrate, &[PASS])??)
}

/// CAP_SYS_ADMIN and CAP_BPF, either of which lets programs be loaded.
const LOADING: u64 = 1 << 21 | 1 << 39;

/// Whether nothing should keep this process from loading a program: it has the capability,
/// and is in the first user namespace, and there is no filter of system calls. What cannot be
/// read is no privilege.
pub(crate) fn is_privileged(first_namespace: bool) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    may_load(&status, first_namespace)
}

fn may_load(status: &str, first_namespace: bool) -> bool {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).unwrap_or_default()
    };
    let capabilities = u64::from_str_radix(field("CapEff:"), 16).unwrap_or(0);
    first_namespace && capabilities & LOADING != 0 && matches!(field("Seccomp:"), "" | "0")
}

#[cfg(test)]
mod tests {
    use super::may_load;
    use rstest::rstest;

    const ALL: &str = "CapEff:\t000001ffffffffff\nSeccomp:\t0\n";
    #[rstest]
    #[case::root(ALL, true, true)]
    #[case::only_bpf("CapEff:\t0000008000000000\n", true, true)]
    #[case::a_container("CapEff:\t00000000a80425fb\nSeccomp:\t2\n", true, false)]
    #[case::filtered("CapEff:\t000001ffffffffff\nSeccomp:\t2\n", true, false)]
    #[case::unreadable("", true, false)]
    #[case::root_of_a_user_namespace(ALL, false, false)]
    fn only_the_capability_in_the_first_namespace_counts(
        #[case] status: &str,
        #[case] first_namespace: bool,
        #[case] may: bool,
    ) {
        assert_eq!(may_load(status, first_namespace), may);
    }

    #[test]
    fn layout_of_attach_types() {
        use super::Attach;
        use crate::layout::of_kernel::constant;
        let number = |attach: Attach| i64::from(attach.number());
        assert_eq!(number(Attach::Select), constant("BPF_SK_REUSEPORT_SELECT"));
        assert_eq!(number(Attach::SelectOrMigrate), constant("BPF_SK_REUSEPORT_SELECT_OR_MIGRATE"));
    }
}
